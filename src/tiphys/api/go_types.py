"""What Go's JSON decoder says of values that do not fit their fields: clients show these words to people."""

from __future__ import annotations

import re
import types
import typing
from functools import cache
from typing import Any, Final

import msgspec

from tiphys.api.facts import definitions
from tiphys.api.go_json import syntax_error
from tiphys.api.quantity import MALFORMED, Quantity

_TYPE_META: Final = (
    r'struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }'
)
_SCALARS: Final = {str: "string", bool: "bool", int: "int32", float: "float64"}
_find_large: Final = re.compile(rb": ?-?[0-9]{10}").search
_RANGES: Final = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}
_PREFIXES: Final = {
    "meta": "io.k8s.apimachinery.pkg.apis.meta",
    "apiextensions": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions",
    "apiregistration": "io.k8s.kube-aggregator.pkg.apis.apiregistration",
}


def parse_error(body: bytes) -> str:
    """Why `body` is not a JSON object with a kind, in the words of encoding/json."""
    problem = syntax_error(body)
    if problem:
        return problem
    value = msgspec.json.decode(body)
    return f"json: cannot unmarshal {_name_of(value)} into Go value of type {_TYPE_META}"


def type_error(kind: type[Any], data: Any) -> str:
    """The first value in `data` (plain JSON data) that does not fit `kind`; empty if all do."""
    return _check(kind, data, "", "", "")


def member_error(kind: Any, value: Any, owner: str, path: str) -> str:
    """As `type_error`, for a value at `path` in the Go struct `owner`; integers have 64 bits."""
    return _check(kind, value, owner, path, "int64")


def _check(kind: Any, value: Any, owner: str, path: str, form: str) -> str:
    """`owner` is the Go struct that holds the value, `form` the integer format of the field."""
    kind = _bare(kind)
    if value is None or kind is Any:
        return ""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _check_struct(kind, value, owner, path)
    origin = typing.get_origin(kind)
    if origin is tuple:
        item = typing.get_args(kind)[0]
        if not isinstance(value, list):
            return _mismatch(value, owner, path, kind, form)
        return next(filter(None, (_check(item, v, owner, path, form) for v in value)), "")
    if origin is dict:
        item = typing.get_args(kind)[1]
        if not isinstance(value, dict):
            return _mismatch(value, owner, path, kind, form)
        return next(filter(None, (_check(item, inner, owner, path, form) for inner in value.values())), "")
    if kind is Quantity:
        return _check_quantity(value)
    if kind is _INT_OR_STRING:
        fits = isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool))
        return "" if fits else f"json: cannot unmarshal {_shown(value)} into Go value of type int32"
    if kind in _SCALARS and not _fits(kind, value, form):
        return _mismatch(value, owner, path, kind, form)
    return ""


def _check_struct(kind: type[msgspec.Struct], value: Any, owner: str, path: str) -> str:
    if not isinstance(value, dict):
        return _mismatch(value, owner, path, kind, "")
    known = _members(kind)
    formats = _formats(kind)
    for name, inner in value.items():
        if name in known:
            found = _check(known[name], inner, kind.__name__, f"{path}.{name}" if path else name, formats.get(name, ""))
            if found:
                return found
    return ""


@cache
def _members(kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {field.encode_name: field.type for field in msgspec.structs.fields(kind)}


@cache
def _formats(kind: type[msgspec.Struct]) -> dict[str, str]:
    """The integer formats of a struct's fields (or of their items), from the schema facts."""
    module, _, version = kind.__module__.rpartition(".")[2].rpartition("_")
    prefix = _PREFIXES.get(module, f"io.k8s.api.{module}")
    properties = definitions().get(f"{prefix}.{version}.{kind.__name__}", {}).get("properties", {})
    found: dict[str, str] = {}
    for name, schema in properties.items():
        inner = schema.get("items") or schema.get("additionalProperties") or schema
        if isinstance(inner, dict) and inner.get("type") == "integer":
            found[name] = inner.get("format", "int32")
    return found


def _check_quantity(value: Any) -> str:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            Quantity(value)
        except ValueError:
            return MALFORMED
        return ""
    return MALFORMED


def _fits(kind: type, value: Any, form: str) -> bool:
    if isinstance(value, bool):
        return kind is bool
    if kind is float:
        return isinstance(value, int | float)
    if kind is int and isinstance(value, int):
        low, high = _RANGES.get(form, _RANGES["int32"])
        return low <= value <= high
    return isinstance(value, kind)


def _mismatch(value: Any, owner: str, path: str, kind: Any, form: str) -> str:
    shown = _shown(value) if kind is int else _name_of(value)
    if not owner:
        return f"json: cannot unmarshal {shown} into Go value of type {_go_type(kind, form)}"
    return f"json: cannot unmarshal {shown} into Go struct field {owner}.{path} of type {_go_type(kind, form)}"


def _go_type(kind: Any, form: str) -> str:
    kind = _bare(kind)
    origin = typing.get_origin(kind)
    if origin is tuple:
        return f"[]{_go_type(typing.get_args(kind)[0], form)}"
    if origin is dict:
        return f"map[string]{_go_type(typing.get_args(kind)[1], form)}"
    if kind is int and form:
        return form
    if kind in _SCALARS:
        return _SCALARS[kind]
    version = getattr(kind, "__module__", "").rpartition("_")[2]
    return f"{version}.{getattr(kind, '__name__', 'interface {}')}"


_INT_OR_STRING: Final = int | str


def _bare(kind: Any) -> Any:
    """`kind` without ``| None``; Any for other unions but IntOrString."""
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        options = [option for option in typing.get_args(kind) if option is not type(None)]
        if set(options) == {int, str}:
            return _INT_OR_STRING
        return options[0] if len(options) == 1 else Any
    return kind


def _shown(value: Any) -> str:
    name = _name_of(value)
    return f"number {value}" if name == "number" else name


def _name_of(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int | float):
        return "number"
    return "array" if isinstance(value, list) else "object"


def range_error(kind: type[Any], body: bytes) -> str:
    """As `type_error`, for a body that decoded: numbers too large for their fields are all that can be wrong."""
    if _find_large(body) is None:
        return ""
    return type_error(kind, msgspec.json.decode(body))
