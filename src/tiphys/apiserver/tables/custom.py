"""Tables of custom resources: the columns their definition declares, read by simple JSON paths."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from tiphys.api import codec
from tiphys.api.types.apiextensions_v1 import CustomResourceColumnDefinition
from tiphys.apiserver.tables.ages import UNKNOWN, age

_STEP: Final = re.compile(
    r"\.(?P<member>[^.\[\]]+)"
    r"|\[(?P<index>-?\d+|\*)\]"
    r"|\['(?P<quoted>[^']+)'\]"
    r"|\[\?\(@\.(?P<key>[^=!<> ]+)\s*==\s*[\"'](?P<value>[^\"']*)[\"']\)\]"
)
Step = Callable[[list[Any]], list[Any]]


def parse_path(text: str) -> Callable[[Any], list[Any]]:
    """What ``.spec.a[0].b`` or ``.status.conditions[?(@.type=="Ready")].status`` finds; nothing for other paths."""
    steps: list[Step] = []
    at = 0
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None:
            return lambda data: []
        steps.append(_step(match))
        at = match.end()

    def find(data: Any) -> list[Any]:
        found = [data]
        for step in steps:
            found = step(found)
        return found

    return find


def _step(match: re.Match[str]) -> Step:
    name = match["member"] or match["quoted"]
    if name is not None:
        plain = name.replace("\\", "")
        return lambda values: [v[plain] for v in values if isinstance(v, dict) and plain in v]
    if match["key"] is not None:
        key, wanted = match["key"], match["value"]
        return lambda values: [
            item
            for v in values
            if isinstance(v, list)
            for item in v
            if isinstance(item, dict) and item.get(key) == wanted
        ]
    if match["index"] == "*":
        return lambda values: [item for v in values if isinstance(v, list) for item in v]
    index = int(match["index"])
    return lambda values: [v[index] for v in values if isinstance(v, list) and -len(v) <= index < len(v)]


def cells_of(columns: Sequence[CustomResourceColumnDefinition]) -> Callable[[Any, float], list[Any]]:
    """The function that makes a row of an object's plain data: its name, then each column."""
    readers = [(parse_path(column.json_path), column.type) for column in columns]

    def cells(obj: Any, now: float) -> list[Any]:
        return [obj["metadata"]["name"], *(_cell(find(obj), kind, now) for find, kind in readers)]

    return cells


def decode(data: bytes) -> Any:
    """An object's JSON as plain data."""
    return codec.decode_any(data)


def _cell(found: list[Any], kind: str, now: float) -> Any:
    if not found or found[0] is None:
        return None
    value = found[0]
    if kind == "date":
        try:
            return age(value, now)
        except (TypeError, ValueError):
            return UNKNOWN
    if kind == "integer" and isinstance(value, float):
        return int(value)
    if kind == "string" and not isinstance(value, str):
        return msgspec.json.encode(value).decode()
    return value
