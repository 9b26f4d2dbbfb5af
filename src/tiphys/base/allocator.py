"""How the C library keeps memory that was freed: for code whose arrays live a few microseconds."""

from __future__ import annotations

import ctypes
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_TRIM_BYTES: Final = 16 << 20
_MMAP_BYTES: Final = 4 << 20


def keep_freed_memory() -> bool:
    """Let the process keep up to 16 MiB of freed memory, and take arrays of up to 4 MiB from it.

    Otherwise an array of over 128 KiB is mapped from the kernel and unmapped each time, and so may be the end of the
    heap: a page fault every 4 KiB, several times the cost of computing with it. Process-wide. Returns whether the C
    library knows of such a thing (glibc does).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_TRIM_THRESHOLD, _TRIM_BYTES)) and bool(mallopt(_MMAP_THRESHOLD, _MMAP_BYTES))
