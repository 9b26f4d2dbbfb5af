"""The program's source of chance: of jitter, of suffixes, of a choice among equals. Nothing secret comes from it.

Not the generator of the module `random`: that one belongs to whoever runs us in their process, who may seed it and
rely on what it says next (a test framework that replays a case does both).
"""

from __future__ import annotations

import os
import random
from typing import Final

CHANCE: Final = random.Random()

# A parent and its children would else draw the same names.
os.register_at_fork(after_in_child=CHANCE.seed)
