"""Reads a cluster through the API into the columns that a scheduler decides on. Nothing is written."""

from __future__ import annotations

import asyncio
from typing import Any, Final, TypeVar

from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod
from tiphys.api.types.storage_v1 import CSIDriver, CSINode, CSIStorageCapacity, StorageClass
from tiphys.client.client import Client
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.explaining import Model
from tiphys.scheduler.profiles import default_profile
from tiphys.scheduler.template import PodInfo, Templates

T = TypeVar("T")
_STORAGE: Final = (PersistentVolumeClaim, PersistentVolume, StorageClass, CSINode, CSIDriver, CSIStorageCapacity)
_UNFINISHED: Final = "status.phase!=Succeeded,status.phase!=Failed"
_PAGE: Final = 2_000


async def read_model(client: Client, pod: Pod) -> Model:
    """The cluster now. What an older apiserver does not serve, or the user may not read of storage, counts as none."""
    nodes, pods, namespaces, *storage = await asyncio.gather(
        _all(client, Node),
        _all(client, Pod, _UNFINISHED),
        _all(client, Namespace),
        *(_optional(client, kind) for kind in _STORAGE),
    )
    profile = default_profile()
    templates = Templates(profile.facts)
    cluster = Cluster()
    for node in nodes:
        cluster.add_node(node)
    for namespace in namespaces:
        cluster.set_namespace(namespace.metadata.name or "", namespace.metadata.labels)
    for obj in (obj for objects in storage for obj in objects):
        cluster.volumes.observe(obj)
    for other in pods:
        if other.metadata.uid != pod.metadata.uid and (name := _counts_on(other, pod)):
            cluster.place(PodInfo(other, templates.of(other)), name)
    return Model(cluster, profile, templates)


def _counts_on(other: Pod, pod: Pod) -> str:
    """The node that `other` takes room on: its own, or the one promised to it if it is not less important."""
    if other.spec.node_name:
        return other.spec.node_name
    return (other.status.nominated_node_name or "") if (other.spec.priority or 0) >= (pod.spec.priority or 0) else ""


async def _all(client: Client, kind: type[T], field_selector: str = "") -> list[T]:
    found: list[T] = []
    more = ""
    while True:
        page = await client.list(kind, field_selector=field_selector, limit=_PAGE, continue_=more)
        found += page.items
        more = page.metadata.continue_ or ""
        if not more:
            return found


async def _optional(client: Client, kind: type[Any]) -> list[Any]:
    try:
        return await _all(client, kind)
    except ApiError as error:
        if error.code in (403, 404):
            return []
        raise
