"""The CRI log format: ``2026-01-02T03:04:05.678901234Z stdout F text``. P marks a part of a line, F its end."""

from __future__ import annotations

from typing import NamedTuple


class LogLine(NamedTuple):
    timestamp: bytes
    stream: bytes
    partial: bool
    text: bytes


def parse(line: bytes) -> LogLine | None:
    """One line without its newline; None when it is not of the format."""
    parts = line.split(b" ", 3)
    if len(parts) < 3 or parts[1] not in (b"stdout", b"stderr"):
        return None
    tags = parts[2].split(b":")
    return LogLine(parts[0], parts[1], tags[0] == b"P", parts[3] if len(parts) == 4 else b"")


def sort_key(timestamp: bytes) -> bytes:
    """Timestamps of differing precision and zone ``Z``, made comparable as bytes."""
    head, dot, fraction = timestamp.rstrip(b"Z").partition(b".")
    return head + b"." + fraction.ljust(9, b"0") if dot else head + b".000000000"
