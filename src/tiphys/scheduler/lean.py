"""Pods and nodes as the scheduler keeps them: without what it never reads; what many have in common is kept once."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from tiphys.api.types.core_v1 import (
    Container,
    ContainerImage,
    ContainerStatus,
    Node,
    Pod,
    PodSpec,
    PodStatus,
    Volume,
)
from tiphys.scheduler.requests import RESIZE_PENDING

_REMEMBERED: Final = 10_000
_CONDITIONS: Final = frozenset({"PodScheduled", "DisruptionTarget", RESIZE_PENDING})
_encode = msgspec.json.Encoder(enc_hook=str).encode


class LeanPods:
    """An informer's transform. It drops, in place:

    managed fields; of containers all but name, image, ports, resources and restart policy; volumes that are the
    kubelet's affair alone; ephemeral containers, addresses and what the kubelet says of containers, their resources
    excepted; and conditions that are not about scheduling.
    """

    def __init__(self) -> None:
        self._kept: dict[bytes, Any] = {}

    def __call__(self, pod: Pod) -> Pod:
        pod.metadata.managed_fields = ()
        self._trim_spec(pod.spec)
        self._trim_status(pod.status)
        pod.metadata.labels = self._once(b"l", pod.metadata.labels)
        pod.metadata.owner_references = self._once(b"o", pod.metadata.owner_references)
        return pod

    def _trim_spec(self, spec: PodSpec) -> None:
        spec.containers = self._once(b"c", tuple(_container(container) for container in spec.containers))
        spec.init_containers = self._once(b"c", tuple(_container(container) for container in spec.init_containers))
        spec.ephemeral_containers = ()
        spec.volumes = tuple(volume for volume in spec.volumes if not _is_local(volume))
        spec.tolerations = self._once(b"t", spec.tolerations)
        spec.affinity = self._once(b"a", spec.affinity)
        spec.node_selector = self._once(b"l", spec.node_selector)
        spec.topology_spread_constraints = self._once(b"s", spec.topology_spread_constraints)
        spec.security_context = spec.dns_config = None
        spec.host_aliases = ()

    def _trim_status(self, status: PodStatus) -> None:
        status.conditions = tuple(condition for condition in status.conditions if condition.type in _CONDITIONS)
        status.container_statuses = self._once(b"r", tuple(_resources(s) for s in status.container_statuses))
        status.init_container_statuses = self._once(b"r", tuple(_resources(s) for s in status.init_container_statuses))
        status.ephemeral_container_statuses = ()
        status.pod_ips = status.host_ips = ()

    def _once(self, kind: bytes, value: Any) -> Any:
        """The value, or an equal one that another pod has already."""
        if not value:
            return value
        key = kind + _encode(value)
        kept = self._kept.get(key)
        if kept is None:
            if len(self._kept) >= _REMEMBERED:
                self._kept.clear()
            kept = self._kept[key] = value
        return kept


class LeanNodes:
    """An informer's transform: nodes without managed fields, whose images are kept once however many nodes have them.

    A node lists fifty images, more than all the rest that is said of it.
    """

    def __init__(self) -> None:
        self._images: dict[tuple[tuple[str, ...], int | None], ContainerImage] = {}

    def __call__(self, node: Node) -> Node:
        node.metadata.managed_fields = ()
        images = self._images
        if len(images) > _REMEMBERED:
            images.clear()
        node.status.images = tuple(
            images.setdefault((image.names, image.size_bytes), image) for image in node.status.images
        )
        return node


def _container(container: Container) -> Container:
    return Container(
        name=container.name,
        image=container.image,
        ports=container.ports,
        resources=container.resources,
        restart_policy=container.restart_policy,
    )


def _resources(status: ContainerStatus) -> ContainerStatus:
    return ContainerStatus(name=status.name, allocated_resources=status.allocated_resources, resources=status.resources)


def _is_local(volume: Volume) -> bool:
    """Whether any node can have it."""
    return bool(
        volume.projected
        or volume.config_map
        or volume.secret
        or volume.empty_dir
        or volume.downward_api
        or volume.host_path
    )
