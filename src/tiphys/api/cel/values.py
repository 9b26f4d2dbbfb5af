"""Plain data as expressions see it: declared fields only, by their escaped names, each of its type."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from google.protobuf import timestamp_pb2

from tiphys.api.cel.declarations import Declared
from tiphys.api.cel.literals import seconds_of


def expose(declared: Declared, data: Any) -> Any:
    """`data` for the runtime. What does not fit its type is left as it is: validation speaks of it elsewhere.

    The depth is that of the declaration, so nothing that users send can exhaust a stack.
    """
    match declared.kind:
        case "object" if isinstance(data, dict):
            made = {}
            for name, inner in declared.fields.items():
                wire = declared.wire.get(name, name)
                if wire in data:
                    made[name] = expose(inner, data[wire])
            return made
        case "list" if isinstance(data, list) and declared.element is not None:
            element = declared.element
            if element.kind in ("string", "bool", "int"):
                return data
            return [expose(element, item) for item in data]
        case "map" if isinstance(data, dict) and declared.element is not None:
            element = declared.element
            if element.kind in ("string", "bool", "int"):
                return data
            return {key: expose(element, item) for key, item in data.items()}
        case "double" if isinstance(data, int) and not isinstance(data, bool):
            return float(data)
        case "int" if isinstance(data, float) and data.is_integer():
            return int(data)
        case "bytes" | "timestamp" | "duration" if isinstance(data, str):
            return _formatted(declared.kind, data)
        case "dyn" if not isinstance(data, str | int | float | bool):
            # int-or-string is all that is untyped in schemas.
            return None
        case _:
            return data


def align(declared: Declared, new: Any, old: Any) -> Any:
    """`old` with the items of lists whose order means nothing in the order of `new`, so that equality sees none."""
    if declared.kind == "object" and isinstance(new, dict) and isinstance(old, dict):
        names = ((declared.wire.get(name, name), inner) for name, inner in declared.fields.items())
        changed = {n: align(inner, new[n], old[n]) for n, inner in names if n in new and n in old and _has_order(inner)}
        return {**old, **changed} if changed else old
    if declared.element is None or declared.identity is None or not isinstance(new, list) or not isinstance(old, list):
        return old
    places = {_identity(item, declared.identity): place for place, item in enumerate(new)}
    ordered = sorted(old, key=lambda item: places.get(_identity(item, declared.identity), len(new)))
    if not declared.identity:
        return ordered
    found = [places.get(_identity(item, declared.identity)) for item in ordered]
    return [
        item if place is None else align(declared.element, new[place], item)
        for item, place in zip(ordered, found, strict=True)
    ]


def _has_order(declared: Declared) -> bool:
    return declared.kind in ("object", "list")


def _identity(item: Any, keys: tuple[str, ...] | None) -> str:
    return repr([item.get(key) for key in keys] if keys and isinstance(item, dict) else item)


def _formatted(kind: str, text: str) -> Any:
    try:
        if kind == "bytes":
            return base64.b64decode(text, validate=True)
        if kind == "duration":
            return seconds_of(text)
        moment = timestamp_pb2.Timestamp()
        moment.FromJsonString(f"{text}T00:00:00Z" if len(text) == len("2006-01-02") else text)
        return moment
    except (ValueError, binascii.Error):
        return text
