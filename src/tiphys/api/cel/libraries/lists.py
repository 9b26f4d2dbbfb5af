"""Lists: sums, extremes, order, positions; and what CEL's own list extension has for them."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Callable
from typing import Any, Final

from google.protobuf import duration_pb2, timestamp_pb2

from tiphys.api.cel.libraries.function import Function

MAXIMUM_RANGE: Final = 10_000
_ORDERED: Final = ("int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes")
_SUMMED: Final = ("int", "uint", "double", "duration")
_ANY: Final = ("list(dyn)",)
_TWO: Final = ("int", "int")
_SEARCHED: Final = ("list(~A)", "~A")
_ANY_AND_ANY: Final = ("list(dyn)", "dyn")


def returned(value: Any) -> Any:
    """A value in the form that the runtime takes back."""
    if isinstance(value, datetime.datetime):
        moment = timestamp_pb2.Timestamp()
        moment.FromDatetime(value)
        return moment
    if isinstance(value, datetime.timedelta):
        span = duration_pb2.Duration()
        span.FromTimedelta(value)
        return span
    if isinstance(value, bytearray):
        return bytes(value)
    if isinstance(value, list):
        return [returned(item) for item in value]
    if isinstance(value, dict):
        return {key: returned(item) for key, item in value.items()}
    return value


def same(left: Any, right: Any) -> bool:
    """CEL's equality: numbers by value, a bool is no number."""
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


def _ordered(call: Callable[[list[Any]], Any]) -> Callable[[list[Any]], Any]:
    def run(items: list[Any]) -> Any:
        try:
            return returned(call(items))
        except TypeError:
            raise ValueError("no such overload") from None

    return run


def _sum(items: list[Any]) -> Any:
    if items and isinstance(items[0], datetime.timedelta):
        return sum(items, datetime.timedelta())
    return sum(items)


def _least(items: list[Any]) -> Any:
    if not items:
        raise ValueError("min called on empty list")
    return min(items)


def _greatest(items: list[Any]) -> Any:
    if not items:
        raise ValueError("max called on empty list")
    return max(items)


def _is_sorted(items: list[Any]) -> bool:
    return all(left <= right for left, right in itertools.pairwise(items))


def _index(items: list[Any], wanted: Any) -> int:
    return next((i for i, item in enumerate(items) if same(item, wanted)), -1)


def _last_index(items: list[Any], wanted: Any) -> int:
    return next((i for i in range(len(items) - 1, -1, -1) if same(items[i], wanted)), -1)


def _distinct(items: list[Any]) -> list[Any]:
    kept: list[Any] = []
    for item in items:
        if not any(same(item, other) for other in kept):
            kept.append(item)
    return [returned(item) for item in kept]


def _slice(items: list[Any], start: int, end: int) -> list[Any]:
    if start < 0 or end < 0:
        raise ValueError(f"cannot slice({start}, {end}), negative indexes not supported")
    if start > end:
        raise ValueError(f"cannot slice({start}, {end}), start index must be less than or equal to end index")
    if end > len(items):
        raise ValueError(f"cannot slice({start}, {end}), list is length {len(items)}")
    return [returned(item) for item in items[start:end]]


def _flatten(items: list[Any]) -> list[Any]:
    made: list[Any] = []
    for item in items:
        made += item if isinstance(item, list) else [item]
    return [returned(item) for item in made]


def _range(count: int) -> list[int]:
    if count > MAXIMUM_RANGE:
        raise ValueError(f"lists.range: {count} is over {MAXIMUM_RANGE}")
    return list(range(count))


def _for(name: str, types: tuple[str, ...], result: str, run: Callable[[list[Any]], Any]) -> list[Function]:
    """One row a type: what is ordered is ordered with its like."""
    call = _ordered(run)
    return [
        Function(name, f"list_{kind}_{name}", (f"list({kind})",), result or kind, call, runs_on=_ANY) for kind in types
    ]


FUNCTIONS: Final = (
    *_for("isSorted", _ORDERED, "bool", _is_sorted),
    *_for("sum", _SUMMED, "", _sum),
    *_for("min", _ORDERED, "", _least),
    *_for("max", _ORDERED, "", _greatest),
    *(
        Function("sort", f"list_{kind}_sort", (f"list({kind})",), f"list({kind})", _ordered(sorted), runs_on=_ANY)
        for kind in _ORDERED
    ),
    Function("indexOf", "list_a_index_of_int", _SEARCHED, "int", _index, runs_on=_ANY_AND_ANY),
    Function("lastIndexOf", "list_a_last_index_of_int", _SEARCHED, "int", _last_index, runs_on=_ANY_AND_ANY),
    Function("distinct", "list_distinct", ("list(~A)",), "list(~A)", _distinct, runs_on=_ANY),
    Function("slice", "list_slice", ("list(~A)", *_TWO), "list(~A)", _slice, runs_on=("list(dyn)", *_TWO)),
    Function("flatten", "list_flatten", ("list(list(~A))",), "list(~A)", _flatten, runs_on=_ANY),
    Function("reverse", "list_reverse", ("list(~A)",), "list(~A)", lambda items: returned(items[::-1]), runs_on=_ANY),
    Function("lists.range", "lists_range", ("int",), "list(int)", _range, is_member=False),
)
