"""Sets of indexes as Jobs write them: ``1,3-5,7``."""

from __future__ import annotations

import re
from typing import Final

from tiphys.api.field_errors import quote

_match_number: Final = re.compile(r"[+-]?\d+").fullmatch


def count(text: str, completions: int) -> int:
    """How many indexes are named. Raises ValueError in upstream's words."""
    total, last = 0, None
    for low, high in intervals(text, completions):
        if last is not None and last >= low:
            raise ValueError(f"non-increasing order, previous: {last}, current: {low}")
        total += high - low + 1
        last = high
    return total


def intervals(text: str, completions: int) -> list[tuple[int, int]]:
    """The intervals, each with both its ends. Raises ValueError if one makes no sense."""
    return [_interval(part, completions) for part in text.split(",")] if text else []


def _interval(text: str, completions: int) -> tuple[int, int]:
    parts = text.split("-")
    if len(parts) > 2:
        what = f"the fragment {quote(text)} violates the requirement that an index interval can have at most two parts"
        raise ValueError(f"{what} separated by '-'")
    numbers = [_number(part, completions) for part in parts]
    if len(numbers) == 2 and numbers[0] >= numbers[1]:
        raise ValueError(f"non-increasing order, previous: {numbers[0]}, current: {numbers[1]}")
    return numbers[0], numbers[-1]


def _number(text: str, completions: int) -> int:
    if not _match_number(text):
        raise ValueError(f"cannot convert string to integer for index: {quote(text)}")
    if int(text) >= completions:
        raise ValueError(f"too large index: {quote(text)}")
    return int(text)


def first_overlap(first: str, second: str, completions: int) -> int | None:
    """The lowest index that is in both sets; None if there is none, or one of them makes no sense."""
    try:
        pairs = intervals(first, completions), intervals(second, completions)
    except ValueError:
        return None
    shared = [max(a, c) for a, b in pairs[0] for c, d in pairs[1] if a <= d and c <= b]
    return min(shared, default=None)
