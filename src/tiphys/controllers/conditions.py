"""Lists of conditions as values: find, set, remove. Pure; conditions of every kind share these fields."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

C = TypeVar("C")


def find(conditions: tuple[C, ...], type: str) -> C | None:
    """The condition of that type, or None."""
    for condition in conditions:
        if condition.type == type:  # type: ignore[attr-defined]
            return condition
    return None


def is_true(conditions: tuple[Any, ...], type: str) -> bool:
    """Whether there is a condition of that type and its status is True."""
    condition = find(conditions, type)
    return condition is not None and condition.status == "True"


def without(conditions: tuple[C, ...], type: str) -> tuple[C, ...]:
    """The conditions of other types."""
    return tuple(c for c in conditions if c.type != type)  # type: ignore[attr-defined]


def with_condition(conditions: tuple[C, ...], new: C, *, compare_message: bool = False) -> tuple[C, ...]:
    """The conditions with `new` in the place of the one of its type.

    One that says the same (status and reason; message too if asked) stays as it is; the transition time is kept while
    the status stays.
    """
    fresh: Any = new
    old: Any = find(conditions, fresh.type)
    if old is None:
        return (*conditions, new)
    if (
        old.status == fresh.status
        and old.reason == fresh.reason
        and (not compare_message or old.message == fresh.message)
    ):
        return conditions
    if old.status == fresh.status:
        fresh = msgspec.structs.replace(fresh, last_transition_time=old.last_transition_time)
    return (*without(conditions, fresh.type), fresh)
