"""A cluster as of one moment, ready to be decided on: from objects in memory, from a file, or read through the API.

    objects ──from_objects──► Snapshot ──► cluster (columns), pending (in the queue's order), algorithm(profile)
    Client ──read──┘  file ──snapshot_file.load──┘

Nothing here writes to a cluster. Decisions change `cluster`; ask `copy` for one that is as it was read.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from tiphys.api.errors import ApiError
from tiphys.api.types.apps_v1 import ReplicaSet, StatefulSet
from tiphys.api.types.core_v1 import (
    Namespace,
    Node,
    PersistentVolume,
    PersistentVolumeClaim,
    Pod,
    ReplicationController,
    Service,
)
from tiphys.api.types.policy_v1 import PodDisruptionBudget
from tiphys.api.types.storage_v1 import CSIDriver, CSINode, CSIStorageCapacity, StorageClass, VolumeAttachment
from tiphys.client import Client
from tiphys.scheduler import snapshot_file
from tiphys.scheduler.algorithm import Algorithm
from tiphys.scheduler.cluster import Cluster, PodKey
from tiphys.scheduler.default_spread import SpreadOwners
from tiphys.scheduler.disruption_budgets import DisruptionBudgets
from tiphys.scheduler.framework import Disruption
from tiphys.scheduler.gangs.discovery import list_pod_groups
from tiphys.scheduler.gangs.groups import PodGroupObject, key_of, read
from tiphys.scheduler.inputs import selector_of
from tiphys.scheduler.nominations import Nominations
from tiphys.scheduler.profiles import DEFAULT_SCHEDULER_NAME, Profile, ProfileMaker, default_profile
from tiphys.scheduler.still import StillHandle
from tiphys.scheduler.template import PodInfo, Templates

T = TypeVar("T")
_STORAGE: Final = (
    PersistentVolume,
    PersistentVolumeClaim,
    StorageClass,
    CSIDriver,
    CSINode,
    CSIStorageCapacity,
    VolumeAttachment,
)
_SPREADING: Final = (ReplicaSet, StatefulSet, ReplicationController)
_FINISHED: Final = ("Succeeded", "Failed")
_UNFINISHED: Final = "status.phase!=Succeeded,status.phase!=Failed"
_PAGE: Final = 2_000


class Snapshot:
    """A cluster's objects, and what the scheduler makes of them."""

    def __init__(self, objects: Iterable[Any], profiles: Sequence[ProfileMaker] = (default_profile,)) -> None:
        """`objects`: typed, of any kinds; those that nothing depends on are kept aside. `profiles` as in
        SchedulerConfig; their plugins have a `StillHandle`."""
        self.objects: dict[type[Any], dict[PodKey, Any]] = _sorted(objects)
        """By kind, then by (namespace, name), in that order."""
        self.profiles: dict[str, Profile] = {}
        """By scheduler name."""
        self.cluster = Cluster()
        self.handle = StillHandle(self.cluster)
        for make in profiles:
            profile = make(self.handle)
            self.profiles[profile.scheduler_name] = profile
        self.owners = SpreadOwners()
        self.nominations = Nominations()
        self._disruptions = DisruptionBudgets()
        self.pending: list[PodInfo] = []
        """The pods of our profiles that have no node and wait for one, gated ones included, as they would be queued:
        by priority, then by age."""
        self.foreign: list[Pod] = []
        """The pods without a node that wait for a scheduler we know nothing of."""
        self._makers = tuple(profiles)
        self._templates = Templates(self._facts)
        self._observe()

    @classmethod
    def from_objects(cls, objects: Iterable[Any], profiles: Sequence[ProfileMaker] = (default_profile,)) -> Snapshot:
        """Of typed objects."""
        return cls(objects, profiles)

    @classmethod
    def load(cls, path: Path, profiles: Sequence[ProfileMaker] = (default_profile,)) -> Snapshot:
        """Of a file: see `snapshot_file`. Raises SnapshotFileError."""
        return cls(snapshot_file.load(path), profiles)

    @classmethod
    async def read(cls, client: Client, profiles: Sequence[ProfileMaker] = (default_profile,)) -> Snapshot:
        """Of a cluster, through any apiserver, by LISTs only. Raises ApiError, OSError or TimeoutError.

        Kinds that it does not serve, or the user may not read, count as none, but nodes, pods and namespaces.
        """
        return cls(await read_objects(client, profiles), profiles)

    def copy(self, profiles: Sequence[ProfileMaker] | None = None) -> Snapshot:
        """The same objects, as they were read; `profiles`: other ones."""
        return Snapshot(self.all(), self._makers if profiles is None else profiles)

    def all(self) -> Iterable[Any]:
        """Every object, by kind."""
        return (obj for of_kind in self.objects.values() for obj in of_kind.values())

    def of(self, kind: type[T]) -> dict[PodKey, T]:
        """The objects of a kind, by (namespace, name)."""
        return self.objects.get(kind, {})

    def dump(self, path: Path) -> int:
        """Write it to a file that `load` reads: returns the number of objects. Raises SnapshotFileError."""
        return snapshot_file.dump((obj for obj in self.all() if type(obj) in snapshot_file.KINDS), path)

    def algorithm(self, profile: str = DEFAULT_SCHEDULER_NAME, rng: random.Random | None = None) -> Algorithm:
        """What decides for the pods of that scheduler name, on `cluster`. The same `rng` (None: seed 0), the same
        choices. Raises KeyError if no profile has the name."""
        return Algorithm(self.cluster, self.profiles[profile], rng or random.Random(0), self.nominations)

    def info(self, pod: Pod) -> PodInfo:
        """The pod as the scheduler sees it, not placed anywhere."""
        spread = None if pod.spec.node_name else self.owners.selector_of(pod)
        return PodInfo(pod, self._templates.of(pod, spread))

    def disruptions(self) -> list[Disruption]:
        """The disruption budgets, as preemption wants them."""
        return self._disruptions.of(self.of(PodDisruptionBudget).values())

    def _facts(self, pod: Pod) -> dict[str, object]:
        first = next(iter(self.profiles.values()))
        return self.profiles.get(pod.spec.scheduler_name or DEFAULT_SCHEDULER_NAME, first).facts(pod)

    def observe(self, obj: Any, *, gone: bool = False) -> None:
        """An object that is no pod came, changed or went: `cluster` and `owners` follow. `objects` is not touched."""
        where, name = obj.metadata.namespace or "", obj.metadata.name or ""
        if isinstance(obj, Node):
            self._observe_node(obj, gone=gone)
        elif isinstance(obj, Namespace):
            self.cluster.set_namespace(name, None if gone else obj.metadata.labels)
        elif isinstance(obj, _STORAGE):
            self.cluster.volumes.observe(obj, gone=gone)
        elif isinstance(obj, Service):
            self.owners.set_service(where, name, None if gone else obj.spec.selector)
        elif isinstance(obj, _SPREADING):
            self.owners.set_controller(obj.metadata.uid or "", None if gone else selector_of(obj))
        elif isinstance(obj, PodGroupObject):
            self._observe_group(obj, gone=gone)
        self.handle.observe(obj, gone=gone)

    def _observe(self) -> None:
        for obj in (obj for kind, of_kind in self.objects.items() if kind is not Pod for obj in of_kind.values()):
            self.observe(obj)
        for pod in self.of(Pod).values():
            self._observe_pod(pod)
        self.pending.sort(key=queue_order)

    def _observe_group(self, obj: PodGroupObject, *, gone: bool) -> None:
        api_group = obj.api_version.partition("/")[0]
        self.handle.gangs.served |= {api_group}
        self.handle.gangs.set(key_of(api_group, obj), None if gone else read(api_group, obj))

    def _observe_node(self, node: Node, *, gone: bool) -> None:
        name = node.metadata.name or ""
        if gone:
            self.cluster.remove_node(name)
        elif name in self.cluster.nodes.rows:
            self.cluster.update_node(node)
        else:
            self.cluster.add_node(node)

    def _observe_pod(self, pod: Pod) -> None:
        if pod.status.phase in _FINISHED:
            return
        self.handle.observe(pod)
        self.handle.gangs.seen(pod)
        if pod.spec.node_name:
            self.cluster.place(info := self.info(pod), info.node_name)
        elif pod.metadata.deletion_timestamp is not None:
            return
        elif (pod.spec.scheduler_name or DEFAULT_SCHEDULER_NAME) not in self.profiles:
            self.foreign.append(pod)
        else:
            info = self.info(pod)
            self.pending.append(info)
            if pod.status.nominated_node_name:
                self.nominations.set(info, pod.status.nominated_node_name)


def queue_order(info: PodInfo) -> tuple[int, str, PodKey]:
    """Sorts pods as the queue does: the most important first, then the oldest."""
    return (-info.priority, info.pod.metadata.creation_timestamp or "", info.key)


async def read_objects(client: Client, profiles: Sequence[ProfileMaker] = (default_profile,)) -> list[Any]:
    """Everything placement depends on, also what only plugins of the profiles ask for: see `Snapshot.read`."""
    asked = StillHandle(Cluster())
    for make in profiles:
        make(asked)
    required = [await _all(client, kind) for kind in snapshot_file.REQUIRED_KINDS]
    more = sorted(asked.informers.keys() - snapshot_file.KINDS, key=lambda kind: kind.__name__)
    optional = await asyncio.gather(*(_optional(client, kind) for kind in (*snapshot_file.OPTIONAL_KINDS, *more)))
    groups = await list_pod_groups(client)
    return [obj for found in (*required, *optional, groups) for obj in found]


async def _all(client: Client, kind: type[T]) -> list[T]:
    found: list[T] = []
    more = ""
    selector = _UNFINISHED if kind is Pod else ""
    while True:
        page = await client.list(kind, field_selector=selector, limit=_PAGE, continue_=more)
        found += map(snapshot_file.without_managed_fields, page.items)
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


def _sorted(objects: Iterable[Any]) -> dict[type[Any], dict[PodKey, Any]]:
    found: defaultdict[type[Any], dict[PodKey, Any]] = defaultdict(dict)
    for obj in objects:
        found[type(obj)][(obj.metadata.namespace or "", obj.metadata.name or "")] = obj
    return {kind: dict(sorted(of_kind.items())) for kind, of_kind in found.items()}
