"""Checks of the schemas of custom resources: structural, as upstream requires them."""

from __future__ import annotations

from typing import Any, Final

from tiphys.api.field_errors import FieldError, forbidden, invalid, not_supported, required, type_invalid

_TYPES: Final = ("array", "boolean", "integer", "number", "object", "string")
_NUMBER_OF: Final = {"string": str, "boolean": bool, "array": list, "object": dict}
_PRESERVE: Final = "x-kubernetes-preserve-unknown-fields"
_INT_OR_STRING: Final = "x-kubernetes-int-or-string"
_EMBEDDED: Final = "x-kubernetes-embedded-resource"


def check_schema(schema: dict[str, Any], path: str, errors: list[FieldError], *, root: bool = False) -> None:
    """One schema and everything below it."""
    kind = schema.get("type", "")
    _check_type(schema, kind, path, errors, root=root)
    if schema.get("uniqueItems"):
        detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        errors.append(forbidden(f"{path}.uniqueItems", detail))
    properties = schema.get("properties") or {}
    additional = schema.get("additionalProperties")
    if properties and additional is not None and additional is not False:
        detail = "additionalProperties and properties are mutual exclusive"
        errors.append(forbidden(f"{path}.additionalProperties", detail))
    for name, inner in properties.items():
        check_schema(inner, f"{path}.properties[{name}]", errors)
    items = schema.get("items")
    if isinstance(items, list):
        errors.append(forbidden(f"{path}.items", "items must be a schema object and not an array"))
    elif isinstance(items, dict):
        check_schema(items, f"{path}.items", errors)
    elif kind == "array":
        errors.append(required(f"{path}.items", "must be specified"))
    if isinstance(additional, dict):
        check_schema(additional, f"{path}.additionalProperties", errors)
    if "default" in schema and schema["default"] is not None:
        _check_default(schema["default"], schema, f"{path}.default", errors)
    _check_extensions(schema, kind, path, errors)


def _check_type(schema: dict[str, Any], kind: Any, path: str, errors: list[FieldError], *, root: bool) -> None:
    if not kind:
        if not schema.get(_INT_OR_STRING) and not schema.get(_PRESERVE):
            where = "must not be empty at the root" if root else "must not be empty for specified object fields"
            if not root and path.endswith("items"):
                where = "must not be empty for specified array items"
            errors.append(required(f"{path}.type", where))
    elif root and kind != "object":
        errors.append(invalid(f"{path}.type", kind, "must be object at the root"))
    elif kind not in _TYPES:
        errors.append(not_supported(f"{path}.type", kind, _TYPES))
    if schema.get(_EMBEDDED) and kind != "object":
        detail = "must be object if x-kubernetes-embedded-resource is true"
        errors.append(invalid(f"{path}.type", kind, detail))


def _check_extensions(schema: dict[str, Any], kind: Any, path: str, errors: list[FieldError]) -> None:
    if schema.get(_PRESERVE) is False:
        errors.append(invalid(f"{path}.{_PRESERVE}", False, "must be true or undefined"))
    list_type = schema.get("x-kubernetes-list-type")
    if list_type is not None:
        if kind != "array":
            detail = "must be array if x-kubernetes-list-type is specified"
            errors.append(invalid(f"{path}.type", kind, detail))
        if list_type not in ("atomic", "map", "set"):
            errors.append(not_supported(f"{path}.x-kubernetes-list-type", list_type, ("atomic", "map", "set")))
        elif list_type == "map" and not schema.get("x-kubernetes-list-map-keys"):
            where = f"{path}.x-kubernetes-list-map-keys"
            errors.append(required(where, "must not be empty if x-kubernetes-list-type is map"))
    for index, rule in enumerate(schema.get("x-kubernetes-validations") or []):
        if not str(rule.get("rule", "")).strip():
            errors.append(required(f"{path}.x-kubernetes-validations[{index}].rule", "rule is not specified"))


def _check_default(value: Any, schema: dict[str, Any], path: str, errors: list[FieldError]) -> None:
    kind = schema.get("type")
    if schema.get(_INT_OR_STRING) or not kind:
        return
    if not _is_of(value, kind):
        name = _name_of(value)
        errors.append(type_invalid(path, name, f' in body must be of type {kind}: "{name}"'))


def _is_of(value: Any, kind: str) -> bool:
    if kind == "integer":
        return (isinstance(value, int) and not isinstance(value, bool)) or (
            isinstance(value, float) and value.is_integer()
        )
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, _NUMBER_OF.get(kind, object))


def _name_of(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        return "string"
    if isinstance(value, list):
        return "array"
    return "object" if isinstance(value, dict) else "null"
