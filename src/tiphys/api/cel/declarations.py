"""What expressions know of data: types with their largest sizes, from structural schemas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from tiphys.api.cel.escaping import escape

MAXIMUM_REQUEST_BYTES: Final = 3 * 1024 * 1024
UNBOUNDED: Final = 2**64 - 1
_TIME_BYTES: Final = 32
_DATE_BYTES: Final = 12
_STRING: Final = {"type": "string"}
_NAME: Final = {"type": "string", "maxLength": 253}
_ROOT: Final = {
    "kind": _STRING,
    "apiVersion": _STRING,
    "metadata": {"type": "object", "properties": {"name": _NAME, "generateName": _NAME}},
}
_FORMATS: Final = {
    # format: kind, smallest bytes of JSON, largest bytes
    "byte": ("bytes", 2, MAXIMUM_REQUEST_BYTES - 2),
    "duration": ("duration", 3, _TIME_BYTES),
    "date": ("timestamp", _DATE_BYTES, _DATE_BYTES),
    "date-time": ("timestamp", 21, _TIME_BYTES),
}


class Declared(msgspec.Struct, frozen=True, eq=False):
    """A type in expressions.

    kind: bool, int, uint, double, string, bytes, timestamp, duration, dyn, list, map, object, or ``message`` for one
    of the libraries' own, named by `name`.
    maximum: the largest size, as CEL's ``size()`` counts, for the cost (0 for what has none).
    smallest_bytes: of its JSON.
    identity: of lists whose order means nothing: the keys of items, none if they are themselves (a set).
    fields: of objects, by escaped name; wire: an escaped name's name on the wire where they differ.
    """

    kind: str
    maximum: int = 0
    smallest_bytes: int = 1
    element: Declared | None = None
    fields: dict[str, Declared] = {}
    wire: dict[str, str] = {}
    name: str = ""
    identity: tuple[str, ...] | None = None

    def at(self, path: tuple[str, ...]) -> Declared | None:
        """What is declared below: by names of fields, ``@items``, ``@values``, ``@keys``."""
        found: Declared | None = self
        for part in path:
            if found is None:
                return None
            if part in ("@items", "@values"):
                found = found.element
            elif part == "@keys":
                found = STRING if found.kind == "map" else None
            else:
                found = found.fields.get(part)
        return found

    def objects(self) -> Iterator[Declared]:
        """All objects at and below this type."""
        if self.kind == "object":
            yield self
        for inner in (self.element, *self.fields.values()):
            if inner is not None:
                yield from inner.objects()


STRING: Final = Declared("string", 0, 2)
BOOL: Final = Declared("bool", smallest_bytes=4)
INT: Final = Declared("int")
DOUBLE: Final = Declared("double")
TIMESTAMP: Final = Declared("timestamp", _TIME_BYTES, 21)
DYN: Final = Declared("dyn")


def object_of(**fields: Declared) -> Declared:
    """An object with these fields."""
    return Declared("object", fields=fields)


def list_of(element: Declared, maximum: int = UNBOUNDED) -> Declared:
    """A list; without a bound of its own, as many as anything may be."""
    return Declared("list", maximum, 2, element)


def map_of(element: Declared, maximum: int = UNBOUNDED) -> Declared:
    """A map from strings."""
    return Declared("map", maximum, 2, element)


def declare(schema: Mapping[str, Any], *, is_root: bool = False) -> Declared | None:
    """The type of a structural schema's data; None if expressions cannot see it.

    is_root: a resource (or embedded one): apiVersion, kind and metadata's names are always there.
    """
    if schema.get("x-kubernetes-int-or-string"):
        length = schema.get("maxLength")
        return Declared("dyn", max(length, 0) * 4 if length is not None else MAXIMUM_REQUEST_BYTES - 2)
    match schema.get("type"):
        case "array":
            return _declare_list(schema)
        case "object":
            return _declare_object(schema, is_root=is_root)
        case "string":
            return _declare_text(schema)
        case "boolean":
            return BOOL
        case "integer":
            return INT
        case "number":
            return DOUBLE
        case _:
            return None


def _inner(schema: Any) -> Declared | None:
    if not isinstance(schema, Mapping):
        return None
    return declare(schema, is_root=bool(schema.get("x-kubernetes-embedded-resource")))


def _declare_list(schema: Mapping[str, Any]) -> Declared | None:
    element = _inner(schema.get("items"))
    if element is None:
        return None
    most = schema.get("maxItems")
    if most is None:
        most = (MAXIMUM_REQUEST_BYTES - 2) // (element.smallest_bytes + 1)
    kind = schema.get("x-kubernetes-list-type")
    keys = tuple(schema.get("x-kubernetes-list-map-keys") or ()) if kind == "map" else ()
    return Declared("list", max(most, 0), 2, element, identity=keys if kind in ("map", "set") else None)


def _declare_object(schema: Mapping[str, Any], *, is_root: bool) -> Declared | None:
    properties = dict(schema.get("properties") or {})
    if is_root:
        properties.update(_ROOT)
    others = schema.get("additionalProperties")
    if isinstance(others, Mapping):
        element = _inner(others)
        if element is None:
            return None
        most = schema.get("maxProperties")
        if most is None:
            most = (MAXIMUM_REQUEST_BYTES - 2) // (element.smallest_bytes + 6)
        return map_of(element, max(most, 0))
    required = schema.get("required") or ()
    fields: dict[str, Declared] = {}
    wire: dict[str, str] = {}
    smallest = 2
    for name, inner in properties.items():
        declared = _inner(inner)
        if declared is None:
            continue
        identifier = escape(name)
        if identifier is not None:
            fields[identifier] = declared
            if identifier != name:
                wire[identifier] = name
        if name in required and inner.get("default") is None:
            smallest += len(name) + declared.smallest_bytes + 4
    return Declared("object", smallest_bytes=smallest, fields=fields, wire=wire)


def _declare_text(schema: Mapping[str, Any]) -> Declared:
    length = schema.get("maxLength")
    known = _FORMATS.get(schema.get("format") or "")
    if known is not None:
        kind, smallest, largest = known
        return Declared(kind, max(length, 0) if kind == "bytes" and length is not None else largest, smallest)
    if length is not None:
        return Declared("string", max(length, 0) * 4, 2)
    values = schema.get("enum") or ()
    if values:
        return Declared("string", max((len(v.encode()) for v in values if isinstance(v, str)), default=0), 2)
    return Declared("string", MAXIMUM_REQUEST_BYTES - 2, 2)
