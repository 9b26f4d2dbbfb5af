"""OpenAPI v2 in protobuf: the one form that kubectl takes it in (gnostic's ``openapi.v2.Document``).

Only what clients read is written: definitions with their vendor extensions, and operations with their parameters.
Vendor extensions travel as YAML text, which JSON is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tiphys.api import codec

CONTENT_TYPE: Final = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_METHODS: Final = {"get": 2, "put": 3, "post": 4, "delete": 5, "options": 6, "head": 7, "patch": 8}
_IN: Final = {"header": 1, "formData": 2, "query": 3, "path": 4}


def encode(document: Mapping[str, Any]) -> bytes:
    """An OpenAPI v2 document (plain data) as one protobuf message."""
    info = document.get("info", {})
    definitions = b"".join(_message(1, _named(n, _schema(s))) for n, s in document.get("definitions", {}).items())
    paths = b"".join(_message(2, _named(path, _path_item(item))) for path, item in document.get("paths", {}).items())
    shared = document.get("parameters", {}).items()
    parameters = b"".join(_message(1, _named(name, _value(parameter))) for name, parameter in shared)
    return b"".join(
        (
            _text(1, document.get("swagger", "2.0")),
            _message(2, _text(1, info.get("title", "")) + _text(2, info.get("version", ""))),
            _message(8, paths),
            _message(9, definitions),
            _message(10, parameters) if parameters else b"",
        )
    )


def _schema(schema: Mapping[str, Any]) -> bytes:
    parts = [
        _text(1, schema.get("$ref", "")),
        _text(2, schema.get("format", "")),
        _text(4, schema.get("description", "")),
    ]
    parts += [_text(19, name) for name in schema.get("required", ())]
    extra = schema.get("additionalProperties")
    if isinstance(extra, Mapping):
        parts.append(_message(21, _message(1, _schema(extra))))
    elif isinstance(extra, bool):
        parts.append(_message(21, _number(2, int(extra))))
    kind = schema.get("type")
    if kind:
        parts.append(_message(22, b"".join(_text(1, k) for k in ([kind] if isinstance(kind, str) else kind))))
    if "items" in schema:
        parts.append(_message(23, _message(1, _schema(schema["items"]))))
    parts += [_message(24, _schema(part)) for part in schema.get("allOf", ())]
    if "properties" in schema:
        properties = (_message(1, _named(n, _schema(s))) for n, s in schema["properties"].items())
        parts.append(_message(25, b"".join(properties)))
    return b"".join(parts) + _extensions(31, schema)


def _path_item(item: Mapping[str, Any]) -> bytes:
    operations = (_message(number, _operation(item[method])) for method, number in _METHODS.items() if method in item)
    parameters = (_message(9, _parameter(parameter)) for parameter in item.get("parameters", ()))
    return b"".join((*operations, *parameters)) + _extensions(10, item)


def _operation(operation: Mapping[str, Any]) -> bytes:
    parts = [_text(1, tag) for tag in operation.get("tags", ())]
    parts += [_text(3, operation.get("description", "")), _text(5, operation.get("operationId", ""))]
    parts += [_text(6, media) for media in operation.get("produces", ())]
    parts += [_text(7, media) for media in operation.get("consumes", ())]
    parts += [_message(8, _parameter(parameter)) for parameter in operation.get("parameters", ())]
    return b"".join(parts) + _extensions(13, operation)


def _parameter(parameter: Mapping[str, Any]) -> bytes:
    """A ParametersItem: a reference or what it is."""
    if "$ref" in parameter:
        return _message(2, _text(1, parameter["$ref"]))
    return _message(1, _value(parameter))


def _value(parameter: Mapping[str, Any]) -> bytes:
    """A Parameter: a body, or a value in query or path."""
    name, place = parameter.get("name", ""), parameter.get("in", "")
    required = _number(1, 1) if parameter.get("required") else b""
    if place == "body":
        body = _text(2, name) + _text(3, place) + (_number(4, 1) if required else b"")
        return _message(1, body + _message(5, _schema(parameter.get("schema", {}))))
    # Query parameters have one more field (allow_empty_value) before their type.
    kind = _text(6 if place in ("query", "formData") else 5, parameter.get("type", ""))
    value = required + _text(2, place) + _text(3, parameter.get("description", "")) + _text(4, name) + kind
    return _message(2, _message(_IN[place], value))


def _extensions(number: int, owner: Mapping[str, Any]) -> bytes:
    found = (item for item in owner.items() if item[0].startswith("x-"))
    return b"".join(_message(number, _named(name, _text(2, codec.encode_any(v).decode()))) for name, v in found)


def _named(name: str, value: bytes) -> bytes:
    return _text(1, name) + _message(2, value)


def _text(number: int, text: str) -> bytes:
    return _message(number, text.encode()) if text else b""


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _message(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
