"""Lists as sets: what CEL's extension of sets has."""

from __future__ import annotations

from typing import Any, Final

from tiphys.api.cel.libraries.function import Function
from tiphys.api.cel.libraries.lists import same

_BOTH: Final = ("list(~A)", "list(~A)")
_RUNS: Final = ("list(dyn)", "list(dyn)")


def _contains(items: list[Any], wanted: list[Any]) -> bool:
    return all(any(same(item, other) for item in items) for other in wanted)


def _equivalent(left: list[Any], right: list[Any]) -> bool:
    return _contains(left, right) and _contains(right, left)


def _intersects(left: list[Any], right: list[Any]) -> bool:
    return any(same(item, other) for item in left for other in right)


FUNCTIONS: Final = (
    Function("sets.contains", "list_sets_contains_list", _BOTH, "bool", _contains, False, _RUNS),
    Function("sets.equivalent", "list_sets_equivalent_list", _BOTH, "bool", _equivalent, False, _RUNS),
    Function("sets.intersects", "list_sets_intersects_list", _BOTH, "bool", _intersects, False, _RUNS),
)
