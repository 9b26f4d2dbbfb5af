"""The program's chance is its own: nobody's seed sets it, and it sets nobody's."""

from __future__ import annotations

import random
import subprocess
import sys

from tiphys.base.backoff import Backoff
from tiphys.base.chance import CHANCE

# A process of its own: one with threads, as this one may be, is not to fork.
_FORKS = """
import os
from tiphys.base.chance import CHANCE
child = os.fork()
os.write(1, b"%d\\n" % CHANCE.getrandbits(128))  # in one piece: both write at the same time
if child:
    os.waitpid(child, 0)
"""


def test_the_generator_of_the_process_is_left_alone() -> None:
    before = random.getstate()
    Backoff().next_seconds()
    CHANCE.random()
    assert random.getstate() == before


def test_children_draw_something_else() -> None:
    done = subprocess.run([sys.executable, "-c", _FORKS], capture_output=True, text=True, check=True, timeout=60)
    drawn = done.stdout.split()
    assert len(drawn) == len(set(drawn)) == 2
