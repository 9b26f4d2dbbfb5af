"""Facts about pods that controllers decide on. Pure; `now` is in seconds since the epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec

from tiphys.api.names import dns_subdomain
from tiphys.api.types.core_v1 import Pod, PodCondition, PodTemplateSpec
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.base.clock import parse_rfc3339
from tiphys.client import Lister
from tiphys.client.ownership import controller_index, controller_of, controller_ref

PENDING: Final = "Pending"
RUNNING: Final = "Running"
SUCCEEDED: Final = "Succeeded"
FAILED: Final = "Failed"

BY_CONTROLLER: Final = "controller-uid"
"""Pod index: the uid of the managing controller."""
BY_NODE: Final = "node-name"
"""Pod index: ``spec.nodeName``."""
BY_ORPHANAGE: Final = "orphan-namespace"
"""Pod index: the namespace of pods that nobody controls."""


@lru_cache(maxsize=16384)
def seconds_of(moment: str) -> float:
    """An API time as seconds since the epoch."""
    return parse_rfc3339(moment)


def orphan_index(obj: Any) -> tuple[str, ...]:
    """An indexer for `BY_ORPHANAGE`."""
    return () if controller_of(obj) else (obj.metadata.namespace or "",)


def node_index(pod: Pod) -> tuple[str, ...]:
    """An indexer for `BY_NODE`."""
    return (pod.spec.node_name,) if pod.spec.node_name else ()


POD_INDEXES: Final[dict[str, Callable[[Any], tuple[str, ...]]]] = {
    BY_CONTROLLER: controller_index,
    BY_NODE: node_index,
    BY_ORPHANAGE: orphan_index,
}


def is_terminal(pod: Pod) -> bool:
    """Whether no container of it will run again."""
    return pod.status.phase in (SUCCEEDED, FAILED)


def is_active(pod: Pod) -> bool:
    """Whether it counts as a replica: not finished and not being deleted."""
    return pod.status.phase not in (SUCCEEDED, FAILED) and pod.metadata.deletion_timestamp is None


def is_terminating(pod: Pod) -> bool:
    """Whether it is being deleted and not finished yet."""
    return pod.metadata.deletion_timestamp is not None and pod.status.phase not in (SUCCEEDED, FAILED)


def pod_condition(pod: Pod, type: str) -> PodCondition | None:
    """The condition of that type, or None."""
    for condition in pod.status.conditions:
        if condition.type == type:
            return condition
    return None


def is_ready(pod: Pod) -> bool:
    """Whether its Ready condition is True."""
    condition = pod_condition(pod, "Ready")
    return condition is not None and condition.status == "True"


def available_in_seconds(pod: Pod, min_ready_seconds: int, now: float) -> float | None:
    """0 if the pod has been ready for `min_ready_seconds`, else how long until it will have been; None: not ready."""
    condition = pod_condition(pod, "Ready")
    if condition is None or condition.status != "True":
        return None
    if min_ready_seconds <= 0:
        return 0.0
    if not condition.last_transition_time:
        return float(min_ready_seconds)
    return max(0.0, seconds_of(condition.last_transition_time) + min_ready_seconds - now)


def is_available(pod: Pod, min_ready_seconds: int, now: float) -> bool:
    """Whether the pod has been ready for at least `min_ready_seconds`."""
    return available_in_seconds(pod, min_ready_seconds, now) == 0.0


def restarts(pod: Pod) -> int:
    """The most restarts any of its containers had."""
    return max((status.restart_count for status in pod.status.container_statuses), default=0)


def pod_from_template(template: PodTemplateSpec, owner: Any, *, generate_name: str = "", name: str = "") -> Pod:
    """A pod as `template` says, controlled by `owner`; shares the template's parts, so do not change it."""
    meta = ObjectMeta(
        name=name or None,
        generate_name=None if name else (generate_name or name_prefix(owner.metadata.name or "")),
        namespace=owner.metadata.namespace,
        labels=dict(template.metadata.labels),
        annotations=dict(template.metadata.annotations),
        finalizers=template.metadata.finalizers,
        owner_references=(controller_ref(owner),),
    )
    return Pod(metadata=meta, spec=template.spec)


def name_prefix(owner_name: str) -> str:
    """What names of an owner's pods begin with: ``web-``, or the bare name where that would be no valid pod name."""
    prefix = f"{owner_name}-"
    return prefix if not dns_subdomain(owner_name) else owner_name


def with_labels(pod: Pod, labels: dict[str, str], annotations: dict[str, str] | None = None) -> Pod:
    """The pod with more labels and annotations."""
    meta = msgspec.structs.replace(
        pod.metadata,
        labels={**pod.metadata.labels, **labels},
        annotations={**pod.metadata.annotations, **(annotations or {})},
    )
    return msgspec.structs.replace(pod, metadata=meta)


LABEL_INDEX: Final = "namespace-label"
"""Pod index: ``namespace/key=value`` of each label."""


def label_index(obj: Any) -> tuple[str, ...]:
    """An indexer for `LABEL_INDEX`."""
    namespace = obj.metadata.namespace or ""
    return tuple(f"{namespace}/{key}={value}" for key, value in obj.metadata.labels.items())


def with_any_label(pods: Lister[Pod], namespace: str, labels: Mapping[str, str]) -> list[Pod]:
    """Few pods among which are all that carry every one of `labels`."""
    return min((pods.by_index(LABEL_INDEX, f"{namespace}/{k}={v}") for k, v in labels.items()), key=len, default=[])
