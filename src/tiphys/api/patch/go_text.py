"""JSON data as Go prints it in upstream's messages."""

from __future__ import annotations

from typing import Any


def type_name(value: Any) -> str:
    """The JSON type as Go's decoder names it: ``object``, ``array``, ``string``, ``number``, ``bool``."""
    if isinstance(value, dict):
        return "object"
    if isinstance(value, list):
        return "array"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    return "string"


def plain(value: Any) -> str:
    """The value as ``%v`` prints it: ``map[image:a name:b]``."""
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{plain(value[key])}' for key in sorted(value))}]"
    if isinstance(value, list):
        return f"[{' '.join(map(plain, value))}]"
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
