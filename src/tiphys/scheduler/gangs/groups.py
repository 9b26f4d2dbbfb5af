"""Pod groups as users write them, and which of them a pod names.

the pod's                               names a PodGroup of    whose minimum is
spec.schedulingGroup.podGroupName       scheduling.k8s.io      spec.schedulingPolicy.gang.minCount
label scheduling.x-k8s.io/pod-group     scheduling.x-k8s.io    spec.minMember
label pod-group.scheduling.sigs.k8s.io  scheduling.sigs.k8s.io spec.minMember (the name it had before)
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from msgspec import field

from tiphys.api.types.core_v1 import Pod
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.api.types.model import Model
from tiphys.scheduler.gangs.minimum_resources import read_minimum

BUILT_IN_GROUP: Final = "scheduling.k8s.io"
LABELS: Final = {
    "scheduling.x-k8s.io": "scheduling.x-k8s.io/pod-group",
    "scheduling.sigs.k8s.io": "pod-group.scheduling.sigs.k8s.io",
}
"""By API group, the label by which a pod names a PodGroup of it."""
API_GROUPS: Final = (BUILT_IN_GROUP, *LABELS)
DEFAULT_TIMEOUT_SECONDS: Final = 60.0


class GroupKey(NamedTuple):
    """Which PodGroup: by API group, for the kinds of different ones may have the same names."""

    api_group: str
    namespace: str
    name: str


class PodGroupObject(Model):
    """A PodGroup of any of the API groups, as it is served."""

    kind: str = field(default_factory=str)
    api_version: str = field(default_factory=str, name="apiVersion")
    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: dict[str, Any] = field(default_factory=dict)


class PodGroup(NamedTuple):
    """What the scheduler must know of a PodGroup."""

    minimum: int
    """So many of its pods are placed together or none; 0: it is no gang."""
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    """How long its placed pods wait for each other's volumes and the like before all give up their places."""
    minimum_resources: tuple[tuple[str, int], ...] = ()
    """It is not tried while the nodes have less free: by resource, cpu in thousandths."""


def named_by(pod: Pod, served: frozenset[str]) -> GroupKey | None:
    """The group the pod says it belongs to. A label of an API group that is not `served` is a label like any other."""
    namespace = pod.metadata.namespace or ""
    group = pod.spec.scheduling_group
    if group is not None and group.pod_group_name:
        return GroupKey(BUILT_IN_GROUP, namespace, group.pod_group_name)
    if pod.metadata.labels:
        for api_group, label in LABELS.items():
            if (name := pod.metadata.labels.get(label)) and api_group in served:
                return GroupKey(api_group, namespace, name)
    return None


def key_of(api_group: str, obj: PodGroupObject) -> GroupKey:
    """Which group this is."""
    return GroupKey(api_group, obj.metadata.namespace or "", obj.metadata.name or "")


def read(api_group: str, obj: PodGroupObject) -> PodGroup:
    """What it says. What is not as it should be counts as not given: no gang, the default time."""
    spec = obj.spec
    if api_group == BUILT_IN_GROUP:
        return PodGroup(_number(_part(_part(spec, "schedulingPolicy"), "gang").get("minCount")))
    seconds = _number(spec.get("scheduleTimeoutSeconds"))
    timeout_seconds = float(seconds) if seconds else DEFAULT_TIMEOUT_SECONDS
    return PodGroup(_number(spec.get("minMember")), timeout_seconds, read_minimum(spec.get("minResources")))


def _number(value: Any) -> int:
    return max(0, value) if isinstance(value, int) and not isinstance(value, bool) else 0


def _part(spec: dict[str, Any], name: str) -> dict[str, Any]:
    part = spec.get(name)
    return part if isinstance(part, dict) else {}
