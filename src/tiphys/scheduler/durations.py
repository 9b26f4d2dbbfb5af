"""Durations as configurations write them: ``1m30s``."""

from __future__ import annotations

import re
from typing import Final

_UNIT: Final = re.compile(r"(\d+\.?\d*|\.\d+)(h|ms|us|µs|ns|m|s)")
_DURATION: Final = re.compile(rf"([-+]?)((?:{_UNIT.pattern})+|0)\Z")
_SECONDS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def seconds(text: str) -> float | None:
    """Its length; None if it is no duration."""
    found = _DURATION.match(text)
    if found is None:
        return None
    length = sum(float(number) * _SECONDS[unit] for number, unit in _UNIT.findall(found[2]))
    return -length if found[1] == "-" else length
