"""Durations as kubectl shows them: ``5s``, ``3m20s``, ``4h``, ``2d3h``, ``1y20d``."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Final

UNKNOWN: Final = "<unknown>"
_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 24


@lru_cache(maxsize=8192)
def seconds_of(timestamp: str) -> float:
    """An RFC 3339 timestamp in epoch seconds. Raises ValueError."""
    return datetime.fromisoformat(timestamp).timestamp()


def age(timestamp: str | None, now: float) -> str:
    """How long ago `timestamp` was."""
    return duration(now - seconds_of(timestamp)) if timestamp else UNKNOWN


def duration(length_seconds: float) -> str:
    """A duration with at most two units; the longer it is, the coarser. Slightly negative ones are clock skew."""
    seconds = int(length_seconds)
    if seconds < 0:
        return "<invalid>" if seconds < -1 else "0s"
    if seconds < 2 * _MINUTE:
        return f"{seconds}s"
    minutes, hours = seconds // _MINUTE, seconds // _HOUR
    if minutes < 10:
        return _two(minutes, "m", seconds % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    days = hours // _DAY
    if hours < 8 * _DAY:
        return _two(days, "d", hours % _DAY, "h")
    if days < 2 * 365:
        return f"{days}d"
    if days < 8 * 365:
        return _two(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def _two(major: int, major_unit: str, minor: int, minor_unit: str) -> str:
    return f"{major}{major_unit}{minor}{minor_unit}" if minor else f"{major}{major_unit}"
