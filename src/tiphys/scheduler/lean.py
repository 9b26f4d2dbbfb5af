"""Pods and nodes as the scheduler keeps them: without what it never reads; what many have in common is kept once."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from tiphys.api.types.core_v1 import (
    Affinity,
    Container,
    ContainerImage,
    ContainerStatus,
    Node,
    Pod,
    Toleration,
    TopologySpreadConstraint,
    Volume,
)
from tiphys.api.types.meta_v1 import OwnerReference
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
        self._kept: dict[bytes, _Common] = {}

    def __call__(self, pod: Pod) -> Pod:
        meta, spec, status = pod.metadata, pod.spec, pod.status
        common = self._common(pod)
        meta.managed_fields = ()
        meta.labels, meta.owner_references = common.labels, common.owners
        spec.containers, spec.init_containers = common.containers, common.init_containers
        spec.tolerations, spec.affinity = common.tolerations, common.affinity
        spec.node_selector, spec.topology_spread_constraints = common.node_selector, common.spread
        spec.volumes = tuple(volume for volume in spec.volumes if not _is_local(volume))
        spec.ephemeral_containers = ()
        spec.security_context = spec.dns_config = None
        spec.host_aliases = ()
        if status.conditions:
            status.conditions = tuple(condition for condition in status.conditions if condition.type in _CONDITIONS)
        status.container_statuses, status.init_container_statuses = common.statuses, common.init_statuses
        status.ephemeral_container_statuses = ()
        status.pod_ips = status.host_ips = ()
        return pod

    def _common(self, pod: Pod) -> _Common:
        """What the pod has in common with its like: an equal one that another has already, if there is any."""
        meta, spec, status = pod.metadata, pod.spec, pod.status
        key = _encode(
            (
                meta.labels,
                meta.owner_references,
                [_container_key(container) for container in spec.containers],
                [_container_key(container) for container in spec.init_containers],
                spec.tolerations,
                spec.affinity,
                spec.node_selector,
                spec.topology_spread_constraints,
                [(one.name, one.allocated_resources, one.resources) for one in status.container_statuses],
                [(one.name, one.allocated_resources, one.resources) for one in status.init_container_statuses],
            )
        )
        common = self._kept.get(key)
        if common is None:
            if len(self._kept) >= _REMEMBERED:
                self._kept.clear()
            common = self._kept[key] = _Common(
                meta.labels,
                meta.owner_references,
                tuple(_container(container) for container in spec.containers),
                tuple(_container(container) for container in spec.init_containers),
                spec.tolerations,
                spec.affinity,
                spec.node_selector,
                spec.topology_spread_constraints,
                tuple(_resources(one) for one in status.container_statuses),
                tuple(_resources(one) for one in status.init_container_statuses),
            )
        return common


class _Common(NamedTuple):
    labels: dict[str, str]
    owners: tuple[OwnerReference, ...]
    containers: tuple[Container, ...]
    init_containers: tuple[Container, ...]
    tolerations: tuple[Toleration, ...]
    affinity: Affinity | None
    node_selector: dict[str, str]
    spread: tuple[TopologySpreadConstraint, ...]
    statuses: tuple[ContainerStatus, ...]
    init_statuses: tuple[ContainerStatus, ...]


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


def _container_key(container: Container) -> tuple[object, ...]:
    return (container.name, container.image, container.ports, container.resources, container.restart_policy)


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
