"""A node's object: labels, capacity, addresses, conditions. Pure; upstream's reasons and words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tiphys.api.local_path import ROOT_ANNOTATION
from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import (
    ContainerImage,
    DaemonEndpoint,
    Node,
    NodeAddress,
    NodeCondition,
    NodeDaemonEndpoints,
    NodeStatus,
    NodeSystemInfo,
)
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.base.clock import rfc3339
from tiphys.cri.types import Image
from tiphys.kubelet.config import KubeletConfig
from tiphys.kubelet.node.facts import HostFacts

KUBELET_VERSION = "v1.36.0"
MAX_IMAGES = 50


@dataclass(frozen=True, slots=True)
class Pressure:
    """How the node fares. `not_ready` is why it is not ready; "" when it is."""

    memory: bool = False
    disk: bool = False
    pids: bool = False
    not_ready: str = ""


def node_labels(config: KubeletConfig, facts: HostFacts) -> dict[str, str]:
    return {
        "beta.kubernetes.io/arch": facts.architecture,
        "beta.kubernetes.io/os": facts.operating_system,
        "kubernetes.io/arch": facts.architecture,
        "kubernetes.io/hostname": config.hostname or config.node_name,
        "kubernetes.io/os": facts.operating_system,
        **config.labels,
    }


def node_annotations(config: KubeletConfig) -> dict[str, str]:
    annotations = {"volumes.kubernetes.io/controller-managed-attach-detach": "true"}
    if config.local_path_dir is not None:
        annotations[ROOT_ANNOTATION] = str(config.local_path_dir)
    return annotations


def new_node(config: KubeletConfig, facts: HostFacts, status: NodeStatus) -> Node:
    """What the kubelet registers itself as."""
    return Node(
        metadata=ObjectMeta(
            name=config.node_name,
            labels=node_labels(config, facts),
            annotations=node_annotations(config),
        ),
        status=status,
    )


def capacity(config: KubeletConfig, facts: HostFacts) -> dict[str, Quantity]:
    return {
        "cpu": Quantity.of_milli(facts.cpu_millis),
        "ephemeral-storage": _kibi(facts.disk_bytes),
        **{name: Quantity(str(size)) for name, size in facts.hugepages.items()},
        "memory": _kibi(facts.memory_bytes),
        "pods": Quantity(config.max_pods),
    }


def allocatable(config: KubeletConfig, facts: HostFacts) -> dict[str, Quantity]:
    """Capacity less what is reserved and what eviction keeps free."""
    memory = facts.memory_bytes - config.reserved_memory_bytes - config.eviction_memory_bytes
    return {
        **capacity(config, facts),
        "cpu": Quantity.of_milli(max(facts.cpu_millis - config.reserved_cpu_millis, 0)),
        "ephemeral-storage": Quantity(str(int(facts.disk_bytes * (1 - config.eviction_disk_share)))),
        "memory": _kibi(max(memory - sum(facts.hugepages.values()), 0)),
    }


def _kibi(size_bytes: int) -> Quantity:
    return Quantity(f"{size_bytes >> 10}Ki")


def node_status(
    config: KubeletConfig,
    facts: HostFacts,
    *,
    runtime_version: str,
    images: Iterable[Image],
    pressure: Pressure,
    before: Mapping[str, NodeCondition],
    now: float,
    volumes_in_use: tuple[str, ...] = (),
) -> NodeStatus:
    """The whole status; `before` are the conditions last reported, by type."""
    return NodeStatus(
        volumes_in_use=volumes_in_use,
        capacity=capacity(config, facts),
        allocatable=allocatable(config, facts),
        addresses=(
            NodeAddress(type="InternalIP", address=config.node_ip),
            NodeAddress(type="Hostname", address=config.hostname or config.node_name),
        ),
        conditions=conditions(pressure, before, now),
        daemon_endpoints=NodeDaemonEndpoints(kubelet_endpoint=DaemonEndpoint(port=config.port)),
        images=node_images(images),
        node_info=NodeSystemInfo(
            machine_id=facts.machine_id,
            system_uuid=facts.system_uuid,
            boot_id=facts.boot_id,
            kernel_version=facts.kernel_version,
            os_image=facts.os_image,
            container_runtime_version=runtime_version,
            kubelet_version=KUBELET_VERSION,
            operating_system=facts.operating_system,
            architecture=facts.architecture,
        ),
    )


def node_images(images: Iterable[Image]) -> tuple[ContainerImage, ...]:
    """The largest images first, as the scheduler's image locality wants to know them."""
    ordered = sorted(images, key=lambda i: (-i.size_bytes, i.id))
    return tuple(
        ContainerImage(names=(*image.repo_digests[:5], *image.repo_tags[:5]), size_bytes=image.size_bytes)
        for image in ordered[:MAX_IMAGES]
        if image.repo_digests or image.repo_tags
    )


def conditions(pressure: Pressure, before: Mapping[str, NodeCondition], now: float) -> tuple[NodeCondition, ...]:
    wanted = (
        _pressure("MemoryPressure", pressure.memory, "KubeletHasInsufficientMemory", "KubeletHasSufficientMemory"),
        _pressure("DiskPressure", pressure.disk, "KubeletHasDiskPressure", "KubeletHasNoDiskPressure"),
        _pressure("PIDPressure", pressure.pids, "KubeletHasInsufficientPID", "KubeletHasSufficientPID"),
        ("Ready", False, "KubeletNotReady", pressure.not_ready)
        if pressure.not_ready
        else ("Ready", True, "KubeletReady", "kubelet is posting ready status"),
    )
    stamp = rfc3339(now)
    result = []
    for type_, holds, reason, message in wanted:
        status = "True" if holds else "False"
        previous = before.get(type_)
        same = previous is not None and previous.status == status
        since = previous.last_transition_time if same and previous is not None else stamp
        result.append(
            NodeCondition(
                type=type_,
                status=status,
                reason=reason,
                message=message,
                last_heartbeat_time=stamp,
                last_transition_time=since,
            )
        )
    return tuple(result)


_MESSAGES = {
    "KubeletHasInsufficientMemory": "kubelet has insufficient memory available",
    "KubeletHasSufficientMemory": "kubelet has sufficient memory available",
    "KubeletHasDiskPressure": "kubelet has disk pressure",
    "KubeletHasNoDiskPressure": "kubelet has no disk pressure",
    "KubeletHasInsufficientPID": "kubelet has insufficient PID available",
    "KubeletHasSufficientPID": "kubelet has sufficient PID available",
}


def _pressure(type_: str, holds: bool, bad: str, good: str) -> tuple[str, bool, str, str]:
    reason = bad if holds else good
    return type_, holds, reason, _MESSAGES[reason]
