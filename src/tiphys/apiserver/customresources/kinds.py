"""A definition's kind as the registry knows kinds: a resource, a struct whose members are plain data, and its rules."""

from __future__ import annotations

import keyword
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import msgspec

from tiphys.api import errors, field_errors
from tiphys.api.field_errors import FieldError
from tiphys.api.patch import Tracked, of_custom, of_structural_schema
from tiphys.api.scheme import ALL_VERBS, Resource, Subresource
from tiphys.api.types.apiextensions_v1 import CustomResourceDefinition, CustomResourceDefinitionVersion
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.api.types.model import Model, OpenModel
from tiphys.apiserver.customresources import rules, schemas

_OWN: Final = ("kind", "apiVersion", "metadata")
_STATUS: Final = Subresource("status", "", ("get", "patch", "update"))
_SCALE: Final = Subresource("scale", "Scale", _STATUS.verbs, "autoscaling", "v1")


class CustomKind:
    """One version of a custom resource.

    Objects are structs of `resource.struct`: metadata typed, every other member plain data. The schema rules the rest.
    """

    def __init__(self, definition: CustomResourceDefinition, version: CustomResourceDefinitionVersion) -> None:
        names, spec = definition.spec.names, definition.spec
        self.has_status = version.subresources is not None and version.subresources.status is not None
        self.scale = version.subresources.scale if version.subresources is not None else None
        self.schema: schemas.Schema = version.schema.open_apiv3_schema if version.schema is not None else {}
        self.resource = Resource(
            group=spec.group,
            version=version.name,
            kind=names.kind,
            plural=names.plural,
            namespaced=spec.scope == "Namespaced",
            short_names=names.short_names,
            categories=names.categories,
            subresources=self._subresources(names.kind),
            verbs=ALL_VERBS,
            selectable_fields=tuple(f.json_path.removeprefix(".") for f in version.selectable_fields),
        )
        struct = _struct(self.resource, self.schema)
        # The scheme finds built-in structs by module; a cached property takes what is there already.
        self.resource.__dict__["struct"] = struct
        self._is_open = issubclass(struct, OpenModel)
        fields = msgspec.structs.fields(struct)
        self._members = {f.encode_name: f.name for f in fields if f.encode_name not in _OWN and f.name != "rest"}
        self._attributes = [*self._members.values(), *(["rest"] if self._is_open else [])]
        self._plan = of_structural_schema(self.schema, names.kind)
        self._tracked: dict[str, Tracked] = {}
        #: Set when the definition is being deleted: nothing may be made any more.
        self.terminating = False
        self._rules = rules.compile_schema(self.schema)

    def known(self, subresource: str) -> Tracked:
        """Which fields have owners."""
        found = self._tracked.get(subresource)
        if found is None:
            found = self._tracked[subresource] = of_custom(self._plan, subresource, has_status=self.has_status)
        return found

    def read(self, obj: Any, validation: str, warnings: list[str], found: Sequence[str] = ()) -> None:
        """Prune and default a decoded object, in place. Raises ApiError 400 for unknown fields if they are refused."""
        data = self._data(obj)
        unknown = [*found, *(f'unknown field "{path}"' for path in schemas.prune(self.schema, data))]
        if unknown and validation == "Strict":
            resource = self.resource
            reason = f"strict decoding error: {', '.join(unknown)}"
            text = f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: {reason}'
            raise errors.bad_request(text)
        if validation == "Warn":
            warnings += unknown
        schemas.fill(self.schema, data)
        for name, attribute in self._members.items():
            setattr(obj, attribute, data.get(name))
        if self._is_open:
            obj.rest = {name: value for name, value in data.items() if name not in self._members} or None

    def normalize(self, data: dict[str, Any]) -> None:
        """Prune and default plain data of an object, in place."""
        members = {name: value for name, value in data.items() if name not in _OWN}
        schemas.prune(self.schema, members)
        schemas.fill(self.schema, members)
        for name in data.keys() - members.keys() - set(_OWN):
            del data[name]
        data.update(members)

    def prepare_create(self, obj: Any) -> None:
        """A new object has no status of its own, and is the first of its generations. Raises ApiError 405."""
        if self.terminating:
            refusal = errors.method_not_supported(self.resource.qualified, "create")
            refusal.status.message = "create not allowed while custom resource definition is terminating"
            raise refusal
        obj.metadata.generation = 1
        if self.has_status and "status" in self._members:
            obj.status = None

    def prepare_update(self, new: Any, old: Any, subresource: str) -> None:
        """Take over what this endpoint does not change; count what is asked for."""
        if subresource == "status":
            managed = new.metadata.managed_fields
            for attribute in self._attributes:
                if attribute != "status":
                    setattr(new, attribute, getattr(old, attribute))
            new.metadata = msgspec.structs.replace(old.metadata, managed_fields=managed)
            return
        content = [a for a in self._attributes if not (self.has_status and a == "status")]
        if self.has_status and "status" in self._members:
            new.status = old.status
        if any(getattr(new, attribute) != getattr(old, attribute) for attribute in content):
            new.metadata.generation = (old.metadata.generation or 0) + 1

    def validate(self, obj: Any, old: Any, warnings: list[str]) -> list[FieldError]:
        """What the schema and its rules say against the object; `old` is what it replaces, None if it is new."""
        data = self._data(obj)
        required = (name for name in self.schema.get("required", ()) if name not in data and name not in _OWN)
        found = [field_errors.required(name) for name in required]
        properties = self.schema.get("properties", {})
        for name, value in data.items():
            if name in properties:
                found += schemas.check(properties[name], value, name)
        if self._rules is None:
            return found
        if rules.is_blocked(found):
            return [*found, rules.NOT_CHECKED]
        before = None if old is None else self._whole(old)
        return [*found, *rules.check(self._rules, self._whole(obj), before, warnings)]

    def _whole(self, obj: Any) -> dict[str, Any]:
        """What rules see: the object's members, its type and names."""
        meta = obj.metadata
        names = {"name": meta.name, "generateName": meta.generate_name}
        known = {name: value for name, value in names.items() if value}
        return {"apiVersion": obj.api_version, "kind": obj.kind, "metadata": known, **self._data(obj)}

    def _subresources(self, kind: str) -> tuple[Subresource, ...]:
        status = (Subresource(_STATUS.name, kind, _STATUS.verbs),) if self.has_status else ()
        return (*status, _SCALE) if self.scale is not None else status

    def _data(self, obj: Any) -> dict[str, Any]:
        """The object's members but for type and metadata; the values are the object's own."""
        values = ((name, getattr(obj, attribute)) for name, attribute in self._members.items())
        declared = {name: value for name, value in values if value is not None}
        return declared | (obj.rest or {}) if self._is_open else declared


def _is_taken(name: str) -> bool:
    return keyword.iskeyword(name) or name == "rest"


def _struct(resource: Resource, schema: schemas.Schema) -> type[Any]:
    """A struct with the schema's members (and spec and status in any case), each plain data."""
    names = dict.fromkeys((*schema.get("properties", {}), "spec", "status"))
    members = [name for name in names if name not in _OWN]
    attributes = {
        name: name
        if name.isidentifier() and not keyword.iskeyword(name) and name.islower() and name != "rest"
        else f"member_{index}"
        for index, name in enumerate(members)
    }
    fields: list[Any] = [
        ("kind", str, msgspec.field(default_factory=partial(str, resource.kind))),
        ("api_version", str, msgspec.field(default_factory=partial(str, resource.api_version), name="apiVersion")),
        ("metadata", ObjectMeta, msgspec.field(default_factory=ObjectMeta)),
        *((attributes[name], Any, msgspec.field(default=None, name=name)) for name in members),
    ]
    base = OpenModel if schema.get("x-kubernetes-preserve-unknown-fields") else Model
    return msgspec.defstruct(
        resource.kind,
        fields,
        bases=(base,),
        module="custom_resources",
        namespace={"__namespaced__": resource.namespaced},
        kw_only=True,
        omit_defaults=True,
        gc=False,
    )
