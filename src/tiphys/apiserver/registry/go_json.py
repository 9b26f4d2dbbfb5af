"""What Go's JSON decoder says about texts and values it cannot read: clients show these words to people."""

from __future__ import annotations

import json
import types
import typing
from typing import Any, Final

import msgspec

from tiphys.api.quantity import Quantity

_TYPE_META: Final = (
    r'struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }'
)
_QUANTITY: Final = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
_GO_SCALARS: Final = {str: "string", bool: "bool", int: "int32", float: "float64"}
_INT64_FIELDS: Final = frozenset(
    {
        "activeDeadlineSeconds",
        "fsGroup",
        "generation",
        "deletionGracePeriodSeconds",
        "expirationSeconds",
        "observedGeneration",
        "revision",
        "runAsGroup",
        "runAsUser",
        "terminationGracePeriodSeconds",
        "tolerationSeconds",
    }
)
_CONTEXTS: Final = {
    "Expecting property name enclosed in double quotes": "looking for beginning of object key string",
    "Expecting value": "looking for beginning of value",
    "Expecting ':' delimiter": "after object key",
    "Expecting ',' delimiter": "after object key:value pair",
    "Extra data": "after top-level value",
    "Invalid control character at": "in string literal",
    "Invalid \\escape": "in string escape code",
}


def parse_error(text: str) -> str:
    """Why `text` is not a JSON object, in the words of encoding/json."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        if error.pos >= len(text) or error.msg.startswith("Unterminated"):
            return "unexpected end of JSON input"
        context = _CONTEXTS.get(error.msg, "looking for beginning of value")
        return f"invalid character {_quoted(text[error.pos])} {context}"
    return f"json: cannot unmarshal {_name_of(value)} into Go value of type {_TYPE_META}"


def type_error(kind: type[Any], data: Any) -> str:
    """The first value in `data` that does not fit `kind`, in the words of Go; "" if there is none."""
    return _check(kind, data, "", "")


def _check(kind: Any, value: Any, owner: str, path: str) -> str:
    kind = _bare(kind)
    if value is None or kind is Any:
        return ""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _check_struct(kind, value, owner, path)
    origin = typing.get_origin(kind)
    if origin is tuple:
        item = typing.get_args(kind)[0]
        if not isinstance(value, list):
            return _mismatch(value, owner, path, kind)
        return next(filter(None, (_check(item, v, owner, path) for v in value)), "")
    if origin is dict:
        item = typing.get_args(kind)[1]
        if not isinstance(value, dict):
            return _mismatch(value, owner, path, kind)
        return next(filter(None, (_check(item, v, owner, f"{path}.{k}" if path else k) for k, v in value.items())), "")
    if kind is Quantity:
        return _check_quantity(value)
    if kind in _GO_SCALARS and not _fits(kind, value):
        return _mismatch(value, owner, path, kind)
    return ""


def _check_struct(kind: type[msgspec.Struct], value: Any, owner: str, path: str) -> str:
    if not isinstance(value, dict):
        return _mismatch(value, owner, path, kind)
    for field in msgspec.structs.fields(kind):
        if field.encode_name in value:
            below = f"{path}.{field.encode_name}" if path else field.encode_name
            found = _check(field.type, value[field.encode_name], kind.__name__, below)
            if found:
                return found
    return ""


def _check_quantity(value: Any) -> str:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            Quantity(value)
        except ValueError:
            return _QUANTITY
        return ""
    return _QUANTITY


def _fits(kind: type, value: Any) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _mismatch(value: Any, owner: str, path: str, kind: Any) -> str:
    shown = f"number {value}" if isinstance(value, float) else _name_of(value)
    target = _go_type(kind, path.rpartition(".")[2])
    return f"json: cannot unmarshal {shown} into Go struct field {owner}.{path} of type {target}"


def _go_type(kind: Any, field: str) -> str:
    kind = _bare(kind)
    origin = typing.get_origin(kind)
    if origin is tuple:
        return f"[]{_go_type(typing.get_args(kind)[0], field)}"
    if origin is dict:
        return f"map[string]{_go_type(typing.get_args(kind)[1], field)}"
    if kind is int and field in _INT64_FIELDS:
        return "int64"
    if kind in _GO_SCALARS:
        return _GO_SCALARS[kind]
    version = getattr(kind, "__module__", "").rpartition("_")[2]
    return f"{version}.{getattr(kind, '__name__', 'interface {}')}"


def _bare(kind: Any) -> Any:
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        options = [option for option in typing.get_args(kind) if option is not type(None)]
        return options[0] if len(options) == 1 else Any
    return kind


def _name_of(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int | float):
        return "number"
    return "array" if isinstance(value, list) else "object"


def _quoted(character: str) -> str:
    return {"'": r"'\''", '"': "'\"'", "\n": r"'\n'", "\t": r"'\t'"}.get(character, f"'{character}'")
