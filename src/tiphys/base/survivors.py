"""Objects that outlive a full garbage collection are not looked at by the next ones.

A process that keeps a hundred thousand objects for hours would stop for a tenth of a second each time the collector
walks through all of them, to find nothing. What is kept here is still freed as soon as nobody refers to it; only rings
of it wait for one of the few collections that look at everything.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

_OLDEST_GENERATION: Final = 2
EVERY: Final = 32
"""Of so many full collections one looks at everything. One needs some 70,000 new objects, so that is rare."""


class Survivors:
    """What gc calls before and after each collection. See the module; use `kept_apart`."""

    def __init__(self) -> None:
        self._full = 0

    def __call__(self, phase: str, info: dict[str, Any]) -> None:
        if info["generation"] != _OLDEST_GENERATION:
            return
        if phase == "start":
            self._full += 1
            if self._full % EVERY == 0:
                gc.unfreeze()
        else:
            gc.freeze()


@contextmanager
def kept_apart() -> Iterator[None]:
    """Keep the survivors of full collections out of the next ones while the context lasts. Process-wide."""
    survivors = Survivors()
    gc.callbacks.append(survivors)
    try:
        yield
    finally:
        gc.callbacks.remove(survivors)
        gc.unfreeze()
