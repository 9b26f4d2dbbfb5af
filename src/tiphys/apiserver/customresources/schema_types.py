"""Whether the schemas of a definition have members of the types that Go reads: they are plain data in our structs, and
whatever reads them later believes in their types."""

from __future__ import annotations

import typing
from functools import cache
from typing import Any, Final

import msgspec

from tiphys.api import go_types
from tiphys.api.types.apiextensions_v1 import CustomResourceDefinition
from tiphys.apiserver.protobuf.decoding import bare
from tiphys.apiserver.protobuf.schemas import (
    EITHER,
    JSONSchemaProps,
    JSONSchemaPropsOrArray,
    JSONSchemaPropsOrBool,
)

_OWNER: Final = "JSONSchemaProps"
_ROOT: Final = "spec.versions.schema.openAPIV3Schema"


def type_problem(obj: Any) -> str:
    """The first member of a definition's schemas that is of another type, in Go's words; empty if none is, and for
    objects of other kinds."""
    if not isinstance(obj, CustomResourceDefinition):
        return ""
    schemas = (version.schema.open_apiv3_schema for version in obj.spec.versions if version.schema is not None)
    return next(filter(None, (_problem(JSONSchemaProps, schema, _ROOT) for schema in schemas)), "")


@cache
def _members() -> dict[str, Any]:
    return {field.encode_name: bare(field.type) for field in msgspec.structs.fields(JSONSchemaProps)}


def _problem(kind: Any, value: Any, path: str) -> str:
    if value is None or kind is Any:
        return ""
    if kind in EITHER:
        kind = _alternative(kind, value)
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is dict and isinstance(value, dict):
        return _first(bare(inner[1]), value.values(), path)
    if origin is tuple and isinstance(value, list):
        return _first(bare(inner[0]), value, path)
    if kind is JSONSchemaProps and isinstance(value, dict):
        members = _members()
        found = (_problem(members[name], item, f"{path}.{name}") for name, item in value.items() if name in members)
        return next(filter(None, found), "")
    return go_types.member_error(kind, value, _OWNER, path)


def _first(kind: Any, values: typing.Iterable[Any], path: str) -> str:
    return next(filter(None, (_problem(kind, value, path) for value in values)), "")


def _alternative(kind: Any, value: Any) -> Any:
    """Which of the types a value must be of, going by its own."""
    if isinstance(value, list) and kind is not JSONSchemaPropsOrBool:
        return tuple[JSONSchemaProps, ...] if kind is JSONSchemaPropsOrArray else tuple[str, ...]
    return bool if isinstance(value, bool) and kind is JSONSchemaPropsOrBool else JSONSchemaProps
