"""What a structural schema does to an object: drop what it does not know, fill in defaults, say what is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import lru_cache
from typing import Any, Final

from tiphys.api import field_errors
from tiphys.api.field_errors import FieldError
from tiphys.api.types.meta_v1 import ObjectMeta

Schema = Mapping[str, Any]
_PRESERVE: Final = "x-kubernetes-preserve-unknown-fields"
_INT_OR_STRING: Final = "x-kubernetes-int-or-string"
_EMBEDDED_RESOURCE: Final = "x-kubernetes-embedded-resource"
_EMBEDDED: Final = frozenset({"apiVersion", "kind", "metadata"})
_METADATA: Final = frozenset(ObjectMeta.__struct_encode_fields__)


def prune(schema: Schema, data: Any, path: str = "") -> list[str]:
    """Drop unknown members of `data`, in place; returns their paths. Nulls where none may be are dropped silently."""
    found: list[str] = []
    if isinstance(data, list):
        items = schema.get("items", {})
        for index, item in enumerate(data):
            found += prune(items, item, f"{path}[{index}]")
    if not isinstance(data, dict):
        return found
    if schema.get(_EMBEDDED_RESOURCE) and isinstance(meta := data.get("metadata"), dict):
        for name in meta.keys() - _METADATA:
            del meta[name]
            found.append(f"{path}.metadata.{name}" if path else f"metadata.{name}")
    properties: Schema = schema.get("properties", {})
    others = schema.get("additionalProperties")
    for name in list(data):
        where = f"{path}.{name}" if path else name
        inner = properties.get(name)
        if inner is None and isinstance(others, dict):
            inner = others
        if inner is not None:
            if data[name] is None and not inner.get("nullable"):
                del data[name]
            else:
                found += prune(inner, data[name], where)
        elif not _is_kept(schema, name, others):
            del data[name]
            found.append(where)
    return found


def fill(schema: Schema, data: Any) -> None:
    """Put defaults where members are missing, in place, at any depth."""
    if isinstance(data, list):
        for item in data:
            fill(schema.get("items", {}), item)
    elif isinstance(data, dict):
        for name, inner in schema.get("properties", {}).items():
            if name not in data and "default" in inner:
                data[name] = deepcopy(inner["default"])
            if name in data:
                fill(inner, data[name])
        others = schema.get("additionalProperties")
        if isinstance(others, dict):
            known = schema.get("properties", {})
            for name, value in data.items():
                if name not in known:
                    fill(others, value)


def check(schema: Schema, data: Any, path: str) -> Iterator[FieldError]:
    """What is wrong with `data`, in upstream's words."""
    if data is None:
        if not schema.get("nullable"):
            yield _wrong_type(path, schema.get("type", "object"), data)
        return
    wanted = "int-or-string" if schema.get(_INT_OR_STRING) else schema.get("type", "")
    if wanted and not _is_a(wanted, data):
        yield _wrong_type(path, wanted, data)
        return
    if "enum" in schema and data not in schema["enum"]:
        yield field_errors.not_supported(path, data, map(str, schema["enum"]))
    if isinstance(data, str):
        yield from _check_text(schema, data, path)
    elif isinstance(data, int | float) and not isinstance(data, bool):
        yield from _check_number(schema, data, path)
    elif isinstance(data, list):
        yield from _check_list(schema, data, path)
    elif isinstance(data, dict):
        yield from _check_object(schema, data, path)
    yield from _check_combinations(schema, data, path)


def _is_kept(schema: Schema, name: str, others: Any) -> bool:
    if schema.get(_PRESERVE) or others is True:
        return True
    embedded = schema.get(_EMBEDDED_RESOURCE) and name in _EMBEDDED
    # A schema that says nothing of members (no type at all) says nothing against them.
    return bool(embedded)


def _is_a(kind: str, value: Any) -> bool:
    if kind == "boolean":
        return isinstance(value, bool)
    if isinstance(value, bool):
        return False
    if kind == "int-or-string":
        return isinstance(value, int | str)
    if kind == "integer":
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    kinds: Mapping[str, Any] = {"string": str, "number": (int, float), "array": list, "object": dict}
    return isinstance(value, kinds.get(kind, object))


def _name_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    names = {str: "string", int: "integer", float: "number", list: "array", dict: "object"}
    return names.get(type(value), "object")


def _wrong_type(path: str, wanted: str, value: Any) -> FieldError:
    name = _name_of(value)
    detail = f'{path} in body must be of type {wanted}: "{name}"'
    return field_errors.type_invalid(path, name, detail)


def _check_text(schema: Schema, text: str, path: str) -> Iterator[FieldError]:
    if len(text) > schema.get("maxLength", len(text)):
        yield field_errors.too_long(path, schema["maxLength"])
    if len(text) < schema.get("minLength", 0):
        detail = f"{path} in body should be at least {schema['minLength']} chars long"
        yield field_errors.invalid(path, text, detail)
    pattern = schema.get("pattern")
    if pattern and not _compiled(pattern).search(text):
        yield field_errors.invalid(path, text, f"{path} in body should match '{pattern}'")


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error:
        # A dialect of another language: nothing can be said, so nothing is refused.
        return re.compile("")


def _check_number(schema: Schema, number: float, path: str) -> Iterator[FieldError]:
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None:
        strict = schema.get("exclusiveMinimum") is True
        if number < least or (strict and number == least):
            words = "greater than" if strict else "greater than or equal to"
            yield field_errors.invalid(path, number, f"{path} in body should be {words} {least}")
    if most is not None:
        strict = schema.get("exclusiveMaximum") is True
        if number > most or (strict and number == most):
            words = "less than" if strict else "less than or equal to"
            yield field_errors.invalid(path, number, f"{path} in body should be {words} {most}")
    factor = schema.get("multipleOf")
    if factor and number % factor:
        yield field_errors.invalid(path, number, f"{path} in body should be a multiple of {factor}")


def _check_list(schema: Schema, items: list[Any], path: str) -> Iterator[FieldError]:
    if len(items) > schema.get("maxItems", len(items)):
        yield field_errors.too_many(path, len(items), schema["maxItems"])
    if len(items) < schema.get("minItems", 0):
        detail = f"{path} in body should have at least {schema['minItems']} items"
        yield field_errors.invalid(path, len(items), detail)
    inner = schema.get("items")
    keys: tuple[str, ...] = tuple(schema.get("x-kubernetes-list-map-keys", ()))
    unique = schema.get("x-kubernetes-list-type") in ("set", "map")
    seen: list[Any] = []
    for index, item in enumerate(items):
        where = f"{path}[{index}]"
        if isinstance(inner, dict):
            yield from check(inner, item, where)
        if unique:
            identity = {key: item.get(key) for key in keys} if keys and isinstance(item, dict) else item
            if identity in seen:
                yield field_errors.duplicate(where, identity)
            seen.append(identity)


def _check_object(schema: Schema, data: dict[str, Any], path: str) -> Iterator[FieldError]:
    for name in schema.get("required", ()):
        if name not in data:
            yield field_errors.required(f"{path}.{name}" if path else name)
    if len(data) > schema.get("maxProperties", len(data)):
        yield field_errors.too_many(path, len(data), schema["maxProperties"])
    properties: Schema = schema.get("properties", {})
    others = schema.get("additionalProperties")
    for name, value in data.items():
        inner = properties.get(name, others)
        if isinstance(inner, dict):
            yield from check(inner, value, f"{path}.{name}" if path else name)


def _check_combinations(schema: Schema, data: Any, path: str) -> Iterator[FieldError]:
    for part in schema.get("allOf", ()):
        yield from check(part, data, path)
    for name, word in (("anyOf", "at least one schema"), ("oneOf", "one and only one schema")):
        options = schema.get(name)
        if options and not schema.get(_INT_OR_STRING):
            matching = sum(1 for option in options if not any(check(option, data, path)))
            if matching == 0 or (matching > 1 and name == "oneOf"):
                detail = f'"{path}" must validate {word} ({name})'
                yield field_errors.invalid(path, "" if isinstance(data, dict | list) else data, detail)
    if "not" in schema and not any(check(schema["not"], data, path)):
        detail = f'"{path}" must not validate the schema (not)'
        yield field_errors.invalid(path, "" if isinstance(data, dict | list) else data, detail)
