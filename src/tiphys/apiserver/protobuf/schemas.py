"""The schemas of CustomResourceDefinitions as messages: plain data everywhere else, since only clients of protobuf and
OpenAPI ask for their form. Some members are in JSON one of two things, and messages with a field for each here.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from tiphys.api.types.apiextensions_v1 import ExternalDocumentation, ValidationRule

_Schemas = dict[str, "JSONSchemaProps"]


class JSONSchemaPropsOrArray(msgspec.Struct):
    """``items``: a schema, or one for each place."""

    schema: JSONSchemaProps | None = None
    json_schemas: tuple[JSONSchemaProps, ...] = msgspec.field(default=(), name="jSONSchemas")


class JSONSchemaPropsOrBool(msgspec.Struct):
    """``additionalProperties``: a schema, or whether there may be any."""

    allows: bool = False
    schema: JSONSchemaProps | None = None


class JSONSchemaPropsOrStringArray(msgspec.Struct):
    """``dependencies``: a schema, or the names of members."""

    schema: JSONSchemaProps | None = None
    property: tuple[str, ...] = ()


class JSONSchemaProps(msgspec.Struct, rename="camel"):
    """A schema. Only the types matter: nothing is made of this."""

    id: str = ""
    schema: str = msgspec.field(default="", name="$schema")
    ref: str = msgspec.field(default="", name="$ref")
    description: str = ""
    type: str = ""
    format: str = ""
    title: str = ""
    default: Any = None
    maximum: float = 0
    exclusive_maximum: bool = False
    minimum: float = 0
    exclusive_minimum: bool = False
    max_length: int = 0
    min_length: int = 0
    pattern: str = ""
    max_items: int = 0
    min_items: int = 0
    unique_items: bool = False
    multiple_of: float = 0
    enum: tuple[Any, ...] = ()
    max_properties: int = 0
    min_properties: int = 0
    required: tuple[str, ...] = ()
    items: JSONSchemaPropsOrArray | None = None
    all_of: tuple[JSONSchemaProps, ...] = ()
    one_of: tuple[JSONSchemaProps, ...] = ()
    any_of: tuple[JSONSchemaProps, ...] = ()
    not_: JSONSchemaProps | None = msgspec.field(default=None, name="not")
    properties: _Schemas = {}
    additional_properties: JSONSchemaPropsOrBool | None = None
    pattern_properties: _Schemas = {}
    dependencies: dict[str, JSONSchemaPropsOrStringArray] = {}
    additional_items: JSONSchemaPropsOrBool | None = None
    definitions: _Schemas = {}
    external_docs: ExternalDocumentation | None = None
    example: Any = None
    nullable: bool = False
    preserve_unknown_fields: bool = msgspec.field(default=False, name="x-kubernetes-preserve-unknown-fields")
    embedded_resource: bool = msgspec.field(default=False, name="x-kubernetes-embedded-resource")
    int_or_string: bool = msgspec.field(default=False, name="x-kubernetes-int-or-string")
    list_map_keys: tuple[str, ...] = msgspec.field(default=(), name="x-kubernetes-list-map-keys")
    list_type: str = msgspec.field(default="", name="x-kubernetes-list-type")
    map_type: str = msgspec.field(default="", name="x-kubernetes-map-type")
    validations: tuple[ValidationRule, ...] = msgspec.field(default=(), name="x-kubernetes-validations")


#: Messages that are in JSON what one of their fields has.
EITHER: Final[dict[Any, str]] = {
    JSONSchemaPropsOrArray: "jSONSchemas",
    JSONSchemaPropsOrBool: "allows",
    JSONSchemaPropsOrStringArray: "property",
}


def of_message(kind: Any, message: dict[str, Any]) -> Any:
    """A message of a kind in `EITHER` as JSON has it."""
    if "schema" in message:
        return message["schema"]
    return message.get(EITHER[kind], False if kind is JSONSchemaPropsOrBool else [])


def as_message(kind: Any, value: Any) -> dict[str, Any]:
    """What JSON has as a message of a kind in `EITHER`."""
    if not isinstance(value, dict):
        return {EITHER[kind]: value}
    return {"allows": True, "schema": value} if kind is JSONSchemaPropsOrBool else {"schema": value}
