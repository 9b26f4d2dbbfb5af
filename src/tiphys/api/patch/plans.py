"""Plans: schema facts compiled into what merging and field tracking walk.

One `Plan` a definition (shared) or a field (where the field's own facts differ from its type's). They are compiled once
and may be recursive, as JSONSchemaProps is.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final, Literal

from tiphys.api import facts

Shape = Literal["scalar", "map", "list", "any"]

_PREFIX: Final = "#/definitions/"
# Definitions that JSON Schema describes as objects or not at all, and upstream's merge as one value.
_OPAQUE: Final = frozenset(
    (
        "io.k8s.apimachinery.pkg.runtime.RawExtension",
        "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON",
    )
)
# The schema facts carry no defaults; these are the ones that complete a list item's key.
_KEY_DEFAULTS: Final = {"protocol": "TCP"}
_KEY_DEFAULTS_OF: Final = {("io.k8s.api.core.v1.LocalObjectReference", "name"): ""}
_SCALARS: Final = {"string": "string", "integer": "numeric", "number": "numeric", "boolean": "boolean"}


class Plan:
    """What is known of a value.

    leaf: one path in a field set: a scalar, an atomic list or map. shape: "any" where nothing is declared.
    scalar: "string", "numeric", "boolean" or "" (anything).
    fields: declared members, each with its name in field sets; closed: there are no others.
    element: of a list's items or a map's other members. keys: the list items' key; a list that is no leaf and has none
    is a set. merge_key, strategies: for strategic merge. required: declared members that must be there.
    """

    __slots__ = (
        *("closed", "element", "fields", "identities", "keys", "leaf", "merge_key", "name", "required", "scalar"),
        *("shape", "strategies"),
    )

    def __init__(self, name: str, shape: Shape, *, leaf: bool = False, scalar: str = "") -> None:
        self.name = name
        self.shape: Shape = shape
        self.leaf = leaf
        self.scalar = scalar
        self.closed = False
        self.fields: dict[str, tuple[str, Plan]] = {}
        self.element: Plan | None = None
        self.keys: tuple[str, ...] = ()
        self.merge_key = ""
        self.strategies: frozenset[str] = frozenset()
        self.required: frozenset[str] = frozenset()
        #: A bounded cache of item keys in their serialized form.
        self.identities: dict[Any, str] = {}

    def child(self, key: str) -> Plan:
        """The plan of a member; `ANY` if nothing is known of it."""
        found = self.fields.get(key)
        return found[1] if found is not None else self.element or ANY

    def key_default(self, key: str) -> Any:
        """What a list item without this key field counts as having; None for nothing."""
        if self.element is not None and (self.element.name, key) in _KEY_DEFAULTS_OF:
            return _KEY_DEFAULTS_OF[self.element.name, key]
        return _KEY_DEFAULTS.get(key)

    def derived(self, **changes: Any) -> Plan:
        """A copy with some attributes changed; it shares the members."""
        copy = Plan.__new__(Plan)
        for slot in ("closed", "element", "fields", "keys", "leaf", "merge_key", "name", "required", "scalar"):
            setattr(copy, slot, getattr(self, slot))
        copy.shape, copy.strategies, copy.identities = self.shape, self.strategies, {}
        for slot, value in changes.items():
            setattr(copy, slot, value)
        return copy


#: Nothing declared: maps are open, lists and scalars are one value each.
ANY: Final = Plan("", "any")


@cache
def of_definition(name: str) -> Plan:
    """The plan of a definition among the schema facts; `ANY` for one that is not there."""
    return _COMPILER.definition(name)


class _Compiler:
    """Compiles definitions; `done` breaks recursion."""

    def __init__(self) -> None:
        self._done: dict[str, Plan] = {}

    def definition(self, name: str) -> Plan:
        found = self._done.get(name)
        if found is not None:
            return found
        schema = facts.definitions().get(name)
        if schema is None:
            return ANY
        plan = self._done[name] = Plan(name, "any")
        _shape(plan, schema)
        if name in _OPAQUE or (plan.shape == "any" and not plan.leaf):
            plan.shape, plan.leaf = "any", True
            return plan
        for key, field in schema.get("properties", {}).items():
            plan.fields[key] = (f"f:{key}", self._member(field, f"{name}.{key}"))
        return plan

    def _member(self, schema: Mapping[str, Any], name: str) -> Plan:
        reference = schema.get("$ref")
        if reference is None:
            plan = Plan(name, "any")
            _shape(plan, schema)
            self._fill(plan, schema, name)
            return _with_strategy(plan, schema)
        plan = self.definition(reference[len(_PREFIX) :])
        if "x-kubernetes-map-type" in schema:
            plan = plan.derived(leaf=schema["x-kubernetes-map-type"] == "atomic")
        if "x-kubernetes-patch-strategy" in schema:
            plan = _with_strategy(plan.derived(), schema)
        return plan

    def _fill(self, plan: Plan, schema: Mapping[str, Any], name: str) -> None:
        inner = schema.get("items") or schema.get("additionalProperties")
        if isinstance(inner, dict):
            plan.element = self._member(inner, name)
        for key, field in schema.get("properties", {}).items():
            plan.fields[key] = (f"f:{key}", self._member(field, f"{name}.{key}"))


_COMPILER: Final = _Compiler()


def _shape(plan: Plan, schema: Mapping[str, Any]) -> None:
    """What the schema itself says, its members aside."""
    kind = schema.get("type")
    if kind in _SCALARS:
        plan.shape, plan.leaf, plan.scalar = "scalar", True, _SCALARS[kind]
    elif kind == "array":
        plan.shape = "list"
        _list_type(plan, schema)
    elif kind == "object" or "properties" in schema:
        plan.shape = "map"
        plan.leaf = schema.get("x-kubernetes-map-type") == "atomic"
        plan.closed = "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields")
        plan.required = frozenset(schema.get("required", ()))
        if not schema.get("properties") and not schema.get("additionalProperties"):
            plan.closed = False
    elif "oneOf" in schema or schema.get("x-kubernetes-int-or-string"):
        plan.shape, plan.leaf = "scalar", True


def _list_type(plan: Plan, schema: Mapping[str, Any]) -> None:
    declared = schema.get("x-kubernetes-list-type")
    if declared is None:
        merges = "merge" in schema.get("x-kubernetes-patch-strategy", "").split(",")
        merge_key = schema.get("x-kubernetes-patch-merge-key")
        plan.leaf = not merges
        plan.keys = (merge_key,) if merges and merge_key else ()
        return
    plan.leaf = declared == "atomic"
    if declared == "map":
        plan.keys = tuple(sorted(schema["x-kubernetes-list-map-keys"]))


def _with_strategy(plan: Plan, schema: Mapping[str, Any]) -> Plan:
    plan.merge_key = schema.get("x-kubernetes-patch-merge-key", "")
    plan.strategies = frozenset(schema.get("x-kubernetes-patch-strategy", "").split(",")) - {""}
    return plan


def of_structural_schema(schema: Mapping[str, Any], name: str) -> Plan:
    """The plan of a custom resource from its CustomResourceDefinition's openAPIV3Schema; metadata is filled in."""
    plan = _structural(schema, name)
    metadata = of_definition("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")
    string = Plan("", "scalar", leaf=True, scalar="string")
    plan.fields |= {
        "apiVersion": ("f:apiVersion", string),
        "kind": ("f:kind", string),
        "metadata": ("f:metadata", metadata),
    }
    return plan


def _structural(schema: Mapping[str, Any], name: str) -> Plan:
    plan = Plan(name, "any")
    _shape(plan, schema)
    if schema.get("x-kubernetes-int-or-string"):
        plan.shape, plan.leaf = "scalar", True
    for key, field in schema.get("properties", {}).items():
        plan.fields[key] = (f"f:{key}", _structural(field, f"{name}.{key}"))
    inner = schema.get("items") or schema.get("additionalProperties")
    if isinstance(inner, dict):
        plan.element = _structural(inner, name)
    if schema.get("x-kubernetes-embedded-resource") and "metadata" not in plan.fields:
        metadata = of_definition("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")
        plan.fields["metadata"] = ("f:metadata", metadata)
    return plan
