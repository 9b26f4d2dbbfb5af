"""Cron schedules: five fields or a descriptor, refused in the words of the parser upstream uses.

Source of the format: the Kubernetes documentation of CronJob, "Schedule syntax".
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from tiphys.api.field_errors import quote

_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_DESCRIPTORS: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_UNITS_SECONDS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


class Bounds(NamedTuple):
    """What one field may hold."""

    low: int
    high: int
    names: dict[str, int]


_BOUNDS: Final = (
    Bounds(0, 59, {}),
    Bounds(0, 23, {}),
    Bounds(1, 31, {}),
    Bounds(1, 12, {name: index + 1 for index, name in enumerate(_MONTHS)}),
    Bounds(0, 6, {name: index for index, name in enumerate(_DAYS)}),
)


class Schedule(NamedTuple):
    """When to run. `every_seconds` is set for ``@every``, and the fields are empty then.

    A day has to be in both `days` and `weekdays`; if neither was ``*``, being in one of them is enough
    (`either_day`).
    """

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool
    every_seconds: int = 0


@lru_cache(maxsize=1024)
def parse(text: str) -> Schedule:
    """A schedule; raises ValueError with upstream's message."""
    if not text:
        raise ValueError("empty spec string")
    if text.startswith("@"):
        return _descriptor(text)
    fields = text.split()
    if len(fields) != len(_BOUNDS):
        raise ValueError(f"expected exactly {len(_BOUNDS)} fields, found {len(fields)}: [{' '.join(fields)}]")
    minutes, hours, days, months, weekdays = (
        _field(field, bounds) for field, bounds in zip(fields, _BOUNDS, strict=True)
    )
    either = not _is_star(fields[2]) and not _is_star(fields[4])
    return Schedule(minutes, hours, days, months, weekdays, either)


def _is_star(field: str) -> bool:
    return any(part in ("*", "?") or part.startswith(("*/", "?/")) for part in field.split(","))


def _descriptor(text: str) -> Schedule:
    if text in _DESCRIPTORS:
        return parse(_DESCRIPTORS[text])
    if text.startswith("@every "):
        seconds = _duration(text.removeprefix("@every "), text)
        empty: frozenset[int] = frozenset()
        return Schedule(empty, empty, empty, empty, empty, False, max(1, int(seconds)))
    raise ValueError(f"unrecognized descriptor: {text}")


def _duration(text: str, whole: str) -> float:
    problem = f"failed to parse duration {whole}: time: invalid duration {quote(text)}"
    rest, total = text.lstrip("+-"), 0.0
    if not rest:
        raise ValueError(problem)
    while rest:
        end = 0
        while end < len(rest) and (rest[end].isdigit() or rest[end] == "."):
            end += 1
        unit_end = end
        while unit_end < len(rest) and not rest[unit_end].isdigit() and rest[unit_end] != ".":
            unit_end += 1
        number, unit = rest[:end], rest[end:unit_end]
        if not number or unit not in _UNITS_SECONDS or number.count(".") > 1 or number == ".":
            raise ValueError(problem)
        total += float(number) * _UNITS_SECONDS[unit]
        rest = rest[unit_end:]
    return total


def _field(field: str, bounds: Bounds) -> frozenset[int]:
    values: set[int] = set()
    for part in field.split(","):
        values.update(_range(part, bounds))
    return frozenset(values)


def _range(text: str, bounds: Bounds) -> range:
    span, slash, step_text = text.partition("/")
    low_text, dash, high_text = span.partition("-")
    if "/" in step_text:
        raise ValueError(f"too many slashes: {text}")
    if low_text in ("*", "?"):
        low, high = bounds.low, bounds.high
    else:
        low = _number(low_text, bounds)
        if "-" in high_text:
            raise ValueError(f"too many hyphens: {text}")
        high = _number(high_text, bounds) if dash else low
    step = 1
    if slash:
        step = _integer(step_text)
        if not dash and low_text not in ("*", "?"):
            high = bounds.high
    if low < bounds.low:
        raise ValueError(f"beginning of range ({low}) below minimum ({bounds.low}): {text}")
    if high > bounds.high:
        raise ValueError(f"end of range ({high}) above maximum ({bounds.high}): {text}")
    if low > high:
        raise ValueError(f"beginning of range ({low}) beyond end of range ({high}): {text}")
    if step == 0:
        raise ValueError(f"step of range should be a positive number: {text}")
    return range(low, high + 1, step)


def _number(text: str, bounds: Bounds) -> int:
    named = bounds.names.get(text.lower())
    return named if named is not None else _integer(text)


def _integer(text: str) -> int:
    try:
        number = int(text) if text.lstrip("+-").isdecimal() else None
    except ValueError:
        number = None
    if number is None:
        raise ValueError(f"failed to parse int from {text}: strconv.Atoi: parsing {quote(text)}: invalid syntax")
    if number < 0:
        raise ValueError(f"negative number ({number}) not allowed: {text}")
    return number
