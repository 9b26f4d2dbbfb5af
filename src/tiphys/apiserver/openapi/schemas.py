"""Schemas: the definitions a document needs, with descriptions if the optional package that has them is installed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources, util
from typing import Any, Final

import msgspec

from tiphys.api import facts
from tiphys.api.scheme import Resource
from tiphys.apiserver.openapi.operations import DELETE_OPTIONS, META

Schema = dict[str, Any]
_V2: Final = "#/definitions/"
_V3: Final = "#/components/schemas/"
_MULTIPLE: Final = (DELETE_OPTIONS, f"{META}.WatchEvent")
_PACKAGE: Final = "kubernetes_validate"
_RELEASE: Final = "v1.36.0-local"
_INT_OR_STRING: Final = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_QUANTITY: Final = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_NEWER: Final = frozenset({"allOf", "anyOf", "oneOf", "not", "nullable"})
_GVK: Final = "x-kubernetes-group-version-kind"


def needed(names: Iterable[str]) -> list[str]:
    """The definitions of these names and of everything they refer to, sorted."""
    found: set[str] = set()
    pending = [name for name in names if name in facts.definitions()]
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending.extend(_references(name))
    return sorted(found)


@cache
def _references(name: str) -> tuple[str, ...]:
    found: set[str] = set()
    pending: list[Any] = [facts.definitions()[name]]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            reference = value.get("$ref")
            if isinstance(reference, str):
                found.add(reference[len(_V2) :])
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)
    return tuple(found & facts.definitions().keys())


class Descriptions:
    """Descriptions of definitions and their fields; empty if the package is not installed. Kept while a build lasts."""

    def __init__(self) -> None:
        self._definitions: Mapping[str, Any] = _load()

    def of(self, name: str, field: str = "") -> str:
        """The text about a definition or one of its fields."""
        schema = self._definitions.get(name, {})
        if field:
            schema = schema.get("properties", {}).get(field, {})
        found = schema.get("description", "")
        return found if isinstance(found, str) else ""


def described() -> bool:
    """True if descriptions are available."""
    return util.find_spec(_PACKAGE) is not None


def _load() -> Mapping[str, Any]:
    if not described():
        return {}
    path = resources.files(_PACKAGE).joinpath("kubernetes-json-schema", _RELEASE, "_definitions.json")
    try:
        found: Mapping[str, Any] = msgspec.json.decode(path.read_bytes())["$defs"]
    except (OSError, KeyError, msgspec.DecodeError):
        return {}
    return found


def definition(name: str, descriptions: Descriptions, groups: frozenset[str], *, version: int) -> Schema:
    """One definition for OpenAPI `version` (2 or 3). groups: those served, for kinds that belong to every group."""
    source = facts.definitions()[name]
    schema: Schema = {}
    if text := descriptions.of(name):
        schema["description"] = text
    if name in (_INT_OR_STRING, _QUANTITY):
        return schema | _either(name, version)
    fields = source.get("properties")
    schema |= {key: _converted(value, version) for key, value in source.items() if key not in ("properties", _GVK)}
    if fields:
        schema["properties"] = {
            field: _with_description(_converted(value, version), descriptions.of(name, field))
            for field, value in fields.items()
        }
    if _GVK in source:
        kinds = source[_GVK]
        schema[_GVK] = [kind for kind in kinds if kind["group"] in groups] if name in _MULTIPLE else kinds
    return schema


def custom_definitions(resource: Resource, schema: Mapping[str, Any], *, version: int) -> Schema:
    """A custom resource's definition and that of its list, by name."""
    root = _V2 if version == 2 else _V3
    head: Schema = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}}
    gvk = {"group": resource.group, "version": resource.version}
    metadata = {"$ref": f"{root}{META}.ObjectMeta"}
    if version == 2:
        schema = _without_newer(schema)
    own = {name: value for name, value in schema.get("properties", {}).items() if name not in (*head, "metadata")}
    items = {"type": "array", "items": {"$ref": f"{root}{resource.definition}"}}
    return {
        resource.definition: {
            **schema,
            "properties": head | {"metadata": metadata} | own,
            _GVK: [{**gvk, "kind": resource.kind}],
        },
        f"{resource.definition}List": {
            "type": "object",
            "required": ["items"],
            "properties": head | {"metadata": {"$ref": f"{root}{META}.ListMeta"}, "items": items},
            _GVK: [{**gvk, "kind": f"{resource.kind}List"}],
        },
    }


def _without_newer(schema: Mapping[str, Any]) -> Schema:
    """A structural schema less what version 2 cannot say, so that its readers refuse nothing that is allowed.

    What may be null has no type; what preserves unknown members has no members to hold others against.
    """
    made = {key: value for key, value in schema.items() if key not in _NEWER}
    nullable = bool(schema.get("nullable"))
    if nullable:
        made.pop("type", None)
    if nullable or schema.get("x-kubernetes-preserve-unknown-fields"):
        for key in ("items", "properties", "required", "additionalProperties"):
            made.pop(key, None)
    properties: Mapping[str, Any] = made.get("properties", {})
    if properties:
        made["properties"] = {name: _without_newer(value) for name, value in properties.items()}
        required = [n for n in made.get("required", ()) if not properties.get(n, {}).get("nullable")]
        made.pop("required", None)
        made |= {"required": required} if required else {}
    for key in ("items", "additionalProperties"):
        if isinstance(made.get(key), dict):
            made[key] = _without_newer(made[key])
    return made


def _either(name: str, version: int) -> Schema:
    """Definitions that are of one of two types."""
    number = "integer" if name == _INT_OR_STRING else "number"
    form: Schema = {"format": "int-or-string"} if name == _INT_OR_STRING else {}
    if version == 2:
        return form | {"type": "string"}
    return form | {"oneOf": [{"type": number}, {"type": "string"}]}


def _with_description(schema: Schema, text: str) -> Schema:
    return {"description": text, **schema} if text else schema


def _converted(value: Any, version: int) -> Any:
    """The schema with references in the form of `version`; version 3 allows nothing beside a reference."""
    if isinstance(value, list):
        return [_converted(item, version) for item in value]
    if not isinstance(value, dict):
        return value
    reference = value.get("$ref")
    if version == 2 or not isinstance(reference, str):
        return {key: _converted(item, version) for key, item in value.items()}
    target = {"$ref": _V3 + reference[len(_V2) :]}
    beside = {key: item for key, item in value.items() if key != "$ref"}
    return {"allOf": [target], **beside}
