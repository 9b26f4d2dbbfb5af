"""Which fields of a kind are tracked, for the object itself and for each of its subresources."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from tiphys.api import codec, scheme
from tiphys.api.patch import plans
from tiphys.api.patch.field_sets import FieldSet, declared
from tiphys.api.patch.plans import Plan

# Never anyone's: what the server itself keeps.
_UNOWNED: Final = frozenset(("apiVersion", "kind"))
_UNOWNED_METADATA: Final = frozenset(
    (
        *("name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation"),
        *("managedFields", "resourceVersion"),
    )
)
# (group, kind, subresource) -> paths a write there cannot change, beside the general rule.
_RESET: Final[Mapping[tuple[str, str, str], tuple[str, ...]]] = {
    ("", "Pod", "status"): ("metadata.deletionTimestamp", "metadata.ownerReferences"),
    ("apps", "Deployment", "status"): ("metadata.labels",),
    ("certificates.k8s.io", "CertificateSigningRequest", "approval"): ("status.certificate",),
    ("certificates.k8s.io", "CertificateSigningRequest", "status"): ("status.conditions",),
    ("storage.k8s.io", "VolumeAttachment", "status"): ("metadata",),
    ("apiextensions.k8s.io", "CustomResourceDefinition", "status"): ("metadata",),
    ("apiregistration.k8s.io", "APIService", "status"): ("metadata",),
    ("networking.k8s.io", "ServiceCIDR", "status"): ("metadata",),
    ("resource.k8s.io", "ResourceClaim", "status"): ("metadata",),
}
# Texts the wire form carries even when empty, though the schema does not call them required.
_EMPTY_TEXTS: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("", "Event"): ("reportingComponent", "reportingInstance"),
}
_SPEC_SUBRESOURCES: Final = frozenset(("scale", "resize", "ephemeralcontainers", "finalize", "binding"))


class Tracked:
    """A kind's plan and what a write through one of its endpoints may own of it.

    template: the object as it is before anyone wrote to it: what its wire form carries even when empty.
    """

    __slots__ = ("_hidden", "_hidden_below", "plan", "template")

    def __init__(self, plan: Plan, hidden: frozenset[str], template: dict[str, Any]) -> None:
        below: dict[str, set[str]] = {"metadata": set(_UNOWNED_METADATA)}
        for path in hidden:
            head, dot, rest = path.partition(".")
            if dot:
                below.setdefault(head, set()).add(rest)
        self.plan = plan
        self._hidden = _UNOWNED | {path for path in hidden if "." not in path}
        self._hidden_below = {head: frozenset(rest) for head, rest in below.items() if head not in self._hidden}
        self.template = self.visible(template)

    def visible(self, obj: dict[str, Any]) -> dict[str, Any]:
        """A shallow copy of the object without what is not tracked here."""
        hidden = self._hidden
        seen = {key: value for key, value in obj.items() if key not in hidden}
        for key, names in self._hidden_below.items():
            value = seen.get(key)
            if type(value) is dict:
                seen[key] = {name: item for name, item in value.items() if name not in names}
        return seen

    def owned(self, obj: dict[str, Any]) -> FieldSet:
        """What an applied configuration owns of it."""
        seen = self.visible(obj)
        for key in self._hidden_below:
            if obj.get(key) and not seen[key]:
                del seen[key]
        return declared(self.plan, seen)


@cache
def of_kind(api_version: str, kind: str, subresource: str = "") -> Tracked:
    """What is tracked of a built-in kind; of kinds the scheme does not know nothing is declared."""
    group, _, version = api_version.rpartition("/")
    resource = scheme.by_gvk(group, version, kind)
    if resource is None:
        return of_custom(plans.ANY, subresource, has_status=False)
    plan = plans.of_definition(resource.definition)
    general = _general(subresource, "status" in resource.subresource_names)
    hidden = frozenset((*general, *_RESET.get((group, kind, subresource), ())))
    template = codec.to_dict(resource.struct()) | dict.fromkeys(_EMPTY_TEXTS.get((group, kind), ()), "")
    return Tracked(plan, hidden, _with_null_lists(plan, template))


def of_custom(plan: Plan, subresource: str, *, has_status: bool) -> Tracked:
    """What is tracked of a custom resource."""
    if subresource == "status":
        return Tracked(plan, frozenset(("spec", "metadata")), {"metadata": {}})
    return Tracked(plan, frozenset(_general(subresource, has_status)), {"metadata": {}})


def _general(subresource: str, has_status: bool) -> tuple[str, ...]:
    if subresource in ("status", "approval"):
        return ("spec",)
    return ("status",) if has_status or subresource in _SPEC_SUBRESOURCES else ()


def _with_null_lists(plan: Plan, template: dict[str, Any]) -> dict[str, Any]:
    """Lists the wire form always carries are null before anyone wrote to them."""
    for key, (_, sub) in plan.fields.items():
        value = template.get(key)
        if isinstance(value, dict):
            _with_null_lists(sub, value)
        elif value is None and key in plan.required and sub.shape == "list":
            template[key] = None
    return template
