"""The table of what other servers serve, and how APIService objects become its rows. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from tiphys.api.scheme import Resource
from tiphys.api.types.apiregistration_v1 import APIService, APIServiceCondition, APIServiceSpec
from tiphys.api.types.meta_v1 import ObjectMeta

AVAILABLE: Final = "Available"
AUTOMANAGED: Final = "kube-aggregator.kubernetes.io/automanaged"
#: Made once and kept; those of custom resources go with their group.
ON_START: Final = "onstart"
FOLLOWS: Final = "true"
#: Served beside the API groups and so never listed among them.
UNLISTED: Final = frozenset({"apiregistration.k8s.io"})
_DEFAULT_PORT: Final = 443

# Group to its priority among groups; clients prefer the higher. Built-in groups that are not here come after.
_GROUP_PRIORITIES: Final = {
    "": 18000,
    "apps": 17800,
    "events.k8s.io": 17750,
    "authentication.k8s.io": 17700,
    "authorization.k8s.io": 17600,
    "autoscaling": 17500,
    "batch": 17400,
    "certificates.k8s.io": 17300,
    "networking.k8s.io": 17200,
    "policy": 17100,
    "rbac.authorization.k8s.io": 17000,
    "storage.k8s.io": 16800,
    "apiextensions.k8s.io": 16700,
    "admissionregistration.k8s.io": 16700,
    "scheduling.k8s.io": 16600,
    "coordination.k8s.io": 16500,
    "node.k8s.io": 16300,
    "discovery.k8s.io": 16200,
    "flowcontrol.apiserver.k8s.io": 16100,
    "resource.k8s.io": 15900,
}
_BUILT_IN_PRIORITY: Final = 15000
_VERSION_PRIORITIES: Final = {
    ("", "v1"): 1,
    ("autoscaling", "v2"): 30,
    ("flowcontrol.apiserver.k8s.io", "v1"): 21,
}
_VERSION_PRIORITY: Final = 15
_CUSTOM_PRIORITIES: Final = (1000, 100)


class Remote(NamedTuple):
    """One group and version that a Service serves. `ca` is PEM, b"" for the system's authorities."""

    name: str
    group: str
    version: str
    namespace: str
    service: str
    port: int
    ca: bytes
    insecure: bool
    group_priority: int
    version_priority: int

    @property
    def path(self) -> str:
        """Where its resources are listed."""
        return f"/apis/{self.group}/{self.version}"

    @property
    def server_name(self) -> str:
        """What its certificate must carry."""
        return f"{self.service}.{self.namespace}.svc"


def remote_of(service: APIService) -> Remote | None:
    """The row of an APIService; None for one this server serves itself, or whose caBundle is not base64."""
    spec = service.spec
    if spec.service is None or not spec.group:
        return None
    try:
        ca = base64.b64decode(spec.ca_bundle or "", validate=True)
    except binascii.Error:
        return None
    return Remote(
        service.metadata.name or "",
        spec.group,
        spec.version or "",
        spec.service.namespace or "",
        spec.service.name or "",
        spec.service.port or _DEFAULT_PORT,
        ca,
        bool(spec.insecure_skip_tls_verify),
        spec.group_priority_minimum,
        spec.version_priority,
    )


def is_available(service: APIService) -> bool:
    return any(c.type == AVAILABLE and c.status == "True" for c in service.status.conditions)


def with_condition(
    conditions: tuple[APIServiceCondition, ...], status: str, reason: str, message: str, now: str
) -> tuple[APIServiceCondition, ...]:
    """The conditions with Available as given; the transition time moves with the status alone."""
    before = next((c for c in conditions if c.type == AVAILABLE), None)
    since = before.last_transition_time if before is not None and before.status == status else now
    fresh = APIServiceCondition(
        type=AVAILABLE, status=status, reason=reason, message=message, last_transition_time=since
    )
    return (*(c for c in conditions if c.type != AVAILABLE), fresh)


def local_services(resources: Iterable[Resource], built_in: frozenset[tuple[str, str]]) -> Mapping[str, APIService]:
    """The APIServices of what this server serves itself, by name; `built_in` are the groups and versions of its own."""
    found: dict[str, APIService] = {}
    for group, version in sorted({(r.group, r.version) for r in resources}):
        if group in UNLISTED:
            continue
        own = (group, version) in built_in
        priorities = _CUSTOM_PRIORITIES
        if own:
            priorities = (
                _GROUP_PRIORITIES.get(group, _BUILT_IN_PRIORITY),
                _VERSION_PRIORITIES.get((group, version), _VERSION_PRIORITY),
            )
        name = f"{version}.{group}"
        found[name] = APIService(
            metadata=ObjectMeta(name=name, labels={AUTOMANAGED: ON_START if own else FOLLOWS}),
            spec=APIServiceSpec(
                group=group or None,
                version=version,
                group_priority_minimum=priorities[0],
                version_priority=priorities[1],
            ),
        )
    return found
