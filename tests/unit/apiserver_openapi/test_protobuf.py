"""The document as clients read it: bodies of custom resources' operations have their schema in place."""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from tiphys.apiserver.openapi import protobuf

_STRING, _BOOL, _MESSAGE = 9, 8, 11
# Of gnostic's openapi.v2 the way to a body's schema: message, then (field, number, type, message, repeated).
_MESSAGES: dict[str, list[tuple[str, int, int, str, bool]]] = {
    "Document": [("swagger", 1, _STRING, "", False), ("paths", 8, _MESSAGE, "Paths", False)],
    "Paths": [("path", 2, _MESSAGE, "NamedPathItem", True)],
    "NamedPathItem": [("name", 1, _STRING, "", False), ("value", 2, _MESSAGE, "PathItem", False)],
    "PathItem": [("post", 4, _MESSAGE, "Operation", False)],
    "Operation": [("parameters", 8, _MESSAGE, "ParametersItem", True)],
    "ParametersItem": [("parameter", 1, _MESSAGE, "Parameter", False)],
    "Parameter": [("body_parameter", 1, _MESSAGE, "BodyParameter", False)],
    "BodyParameter": [
        ("description", 1, _STRING, "", False),
        ("name", 2, _STRING, "", False),
        ("in", 3, _STRING, "", False),
        ("required", 4, _BOOL, "", False),
        ("schema", 5, _MESSAGE, "Schema", False),
    ],
    "Schema": [("_ref", 1, _STRING, "", False), ("type", 22, _MESSAGE, "TypeItem", False)],
    "TypeItem": [("value", 1, _STRING, "", True)],
}


def _document_type() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="openapi.proto", package="openapi.v2", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind, of, repeated in fields:
            made = message.field.add(name=field, number=number, type=kind, label=3 if repeated else 1)
            if of:
                made.type_name = f".openapi.v2.{of}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("openapi.v2.Document"))


def _body(schema: dict[str, Any]) -> Any:
    parameter = {"name": "body", "in": "body", "required": True, "schema": schema}
    document = {"swagger": "2.0", "paths": {"/things": {"post": {"parameters": [parameter]}}}}
    found = _document_type().FromString(protobuf.encode(document))
    (path,) = found.paths.path
    (item,) = path.value.post.parameters
    return item.parameter.body_parameter


def test_a_body_s_schema_is_where_clients_look_for_it() -> None:
    inline = _body({"type": "object"})
    assert (inline.name, getattr(inline, "in"), inline.required) == ("body", "body", True)
    assert list(inline.schema.type.value) == ["object"]
    reference = "#/definitions/" + "x" * 200
    assert _body({"$ref": reference}).schema._ref == reference
