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
