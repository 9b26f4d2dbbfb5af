"""The simulated cluster while it is changed: which pod is where, which waits, and what became of each.

bound ──evict / preempt / reschedule──► waiting ──placed──► bound
  │                                        │
  └──────────delete, no owner──────────────┴──► gone
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from msgspec.structs import replace

from tiphys.api.types.apps_v1 import ReplicaSet
from tiphys.api.types.core_v1 import Pod, PodStatus
from tiphys.api.types.meta_v1 import OwnerReference
from tiphys.api.types.resource_v1 import ResourceClaim, ResourceClaimStatus
from tiphys.client.ownership import controller_of
from tiphys.scheduler.cluster import PodKey
from tiphys.scheduler.framework import Point, Rejected
from tiphys.scheduler.profiles import Profile
from tiphys.scheduler.simulation.outcome import Cause, Gone, Stayed, Victim
from tiphys.scheduler.snapshot import Snapshot
from tiphys.scheduler.template import PodInfo

MIRROR: Final = "kubernetes.io/config.mirror"
_HASH_LABEL: Final = "pod-template-hash"


@dataclass(slots=True)
class Case:
    """A pod that was to be placed, once or more often. `reason` and `plugins` say why it waits, if it does."""

    info: PodInfo
    cause: Cause
    was: str
    """The node it was on before anything changed; empty for none."""
    order: int
    """Of two equally important pods, the lower is placed first."""
    reason: str = ""
    plugins: frozenset[str] = frozenset()
    gated: bool = False


class World:
    """A snapshot that is being changed; it belongs to the world. `epoch` moves whenever anything does."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.cluster = snapshot.cluster
        self.epoch = 0
        self.bound: dict[PodKey, PodInfo] = {
            info.key: info for pods in self.cluster.pods_on.values() for info in pods.values()
        }
        #: All pods that were to be placed, and those of them that are to be now, by key.
        self.cases: dict[PodKey, Case] = {}
        self.waiting: dict[PodKey, Case] = {}
        self.victims: list[Victim] = []
        self.gone: list[Gone] = []
        self.stayed: list[Stayed] = []
        self.evicted: list[PodInfo] = []
        self.preempted: list[PodInfo] = []
        self.node_changes: dict[str, str] = {}
        self.notes: dict[str, None] = {}
        """As an ordered set."""
        self.permits: Counter[str] = Counter()
        """How many pods would wait for whose permit: by plugin."""
        self._reserved: set[PodKey] = set()
        self._order = itertools.count()
        self._uids = itertools.count(1)
        for info in snapshot.pending:
            self._wait(info, Cause.PENDING, "")

    def uid(self) -> str:
        """A new one."""
        return f"simulated-{next(self._uids)}"

    def note(self, text: str) -> None:
        """Something the reader should know; said once."""
        self.notes[text] = None

    def pods(self) -> Iterator[PodInfo]:
        """All pods, on nodes and waiting."""
        yield from self.bound.values()
        yield from (case.info for case in self.waiting.values())

    def owned_by(self, uids: Iterable[str]) -> list[PodInfo]:
        """The pods that one of these controllers manages."""
        wanted = frozenset(uids)
        return [info for info in self.pods() if (owner := controller_of(info.pod)) and owner.uid in wanted]

    def put(self, obj: Any) -> None:
        """An object that is no pod exists from now on."""
        key = (obj.metadata.namespace or "", obj.metadata.name or "")
        self.snapshot.objects.setdefault(type(obj), {})[key] = obj
        self.snapshot.observe(obj)
        self.epoch += 1

    def drop(self, obj: Any) -> None:
        """An object that is no pod no longer exists."""
        key = (obj.metadata.namespace or "", obj.metadata.name or "")
        self.snapshot.objects[type(obj)].pop(key, None)
        self.snapshot.observe(obj, gone=True)
        self.epoch += 1

    def admit(self, pod: Pod, cause: Cause) -> None:
        """A pod is created; one that names its node is there at once."""
        info = self.snapshot.info(pod)
        self.snapshot.handle.gangs.seen(pod)
        if info.key in self.bound or info.key in self.waiting:
            self.note(f"There is a pod {named(info.key)} already: it is not created again.")
        elif pod.spec.node_name:
            self.place(info, pod.spec.node_name)
            self.cases[info.key] = Case(info, cause, "", next(self._order))
        else:
            self._wait(info, cause, "")

    def place(self, info: PodInfo, node_name: str) -> None:
        """The pod is on the node from now on. Raises Rejected if a plugin does not let it; then nothing has changed."""
        self.cluster.place(info, node_name)
        self.epoch += 1
        profile = self.snapshot.profiles.get(info.template.scheduler_name)
        # One that was created with its node is not asked about.
        if profile is not None and not info.pod.spec.node_name:
            try:
                self._reserve(info, profile)
            except Rejected:
                self._unreserve(info, profile)
                self.cluster.remove(info)
                raise
        self.waiting.pop(info.key, None)
        self.bound[info.key] = info

    def adopt(self, info: PodInfo) -> None:
        """The pod was placed with the others of its gang: on the cluster, and with all that it reserves."""
        self.epoch += 1
        self._reserved.add(info.key)
        self.waiting.pop(info.key, None)
        self.bound[info.key] = info

    def take_off(self, info: PodInfo) -> None:
        """The pod is on no node and waits for none."""
        self.epoch += 1
        self.snapshot.nominations.remove(info.key)
        self.snapshot.handle.gangs.gone(info.key)
        self.waiting.pop(info.key, None)
        if self.bound.pop(info.key, None) is None:
            return
        profile = self.snapshot.profiles.get(info.template.scheduler_name)
        if info.key in self._reserved and profile is not None:
            self._unreserve(info, profile)
        self.cluster.remove(info)
        if info.pod.spec.resource_claims:
            self._give_back(info.pod)

    def _reserve(self, info: PodInfo, profile: Profile) -> None:
        self._reserved.add(info.key)
        for point in (Point.RESERVE, Point.PERMIT):
            for plugin in profile.at(point):
                try:
                    if point is Point.RESERVE:
                        plugin.reserve(info, info.node_name)
                    elif plugin.permit(info, info.node_name) is not None:
                        self.permits[plugin.name] += 1
                except Rejected as error:
                    error.plugin = plugin.name
                    raise

    def _unreserve(self, info: PodInfo, profile: Profile) -> None:
        self._reserved.discard(info.key)
        for plugin in reversed(profile.at(Point.RESERVE)):
            plugin.unreserve(info, info.node_name)

    def make_again(self, info: PodInfo, cause: Cause) -> None:
        """The pod, taken off, is made again by its owner, under its old name: who the new one is does not matter."""
        known = self.cases.get(info.key)
        was = known.was if known is not None else info.node_name
        pod = info.pod
        metadata = replace(pod.metadata, uid=self.uid(), deletion_timestamp=None)
        spec = replace(pod.spec, node_name=None)
        again = replace(pod, metadata=metadata, spec=spec, status=_anew(pod.status))
        self._hand_over(pod, metadata.uid or "")
        self.snapshot.handle.gangs.seen(again)
        self._wait(self.snapshot.info(again), cause, was)

    def lose(self, info: PodInfo, why: str, *, lost: bool) -> None:
        """The pod, taken off, is never made again."""
        case = self.cases.pop(info.key, None)
        node = case.was if case is not None else info.node_name
        self.gone.append(Gone(pod=named(info.key), owner=self.owner(info.pod), node=node, why=why, lost=lost))

    def owner(self, pod: Pod) -> str:
        """``Deployment/web``: whom a person would ask about the pod. Empty if nobody owns it."""
        reference = controller_of(pod)
        if reference is None:
            return ""
        above = self._above(pod, reference) if reference.kind == "ReplicaSet" else None
        return f"{above.kind}/{above.name}" if above is not None else f"{reference.kind}/{reference.name}"

    def _above(self, pod: Pod, reference: OwnerReference) -> OwnerReference | None:
        """The Deployment of a pod's ReplicaSet."""
        replica_set = self.snapshot.of(ReplicaSet).get((pod.metadata.namespace or "", reference.name))
        if replica_set is not None:
            return controller_of(replica_set)
        suffix = "-" + pod.metadata.labels.get(_HASH_LABEL, "")
        if len(suffix) > 1 and reference.name.endswith(suffix):
            return OwnerReference(kind="Deployment", name=reference.name.removesuffix(suffix))
        return None

    def _give_back(self, pod: Pod) -> None:
        """Claims that nobody but the pod used lose their devices."""
        names = {status.resource_claim_name for status in pod.status.resource_claim_statuses}
        names |= {asked.resource_claim_name for asked in pod.spec.resource_claims}
        for name in names:
            claim = self.snapshot.of(ResourceClaim).get((pod.metadata.namespace or "", name or ""))
            if claim is None or not any(user.uid == pod.metadata.uid for user in claim.status.reserved_for):
                continue
            users = tuple(user for user in claim.status.reserved_for if user.uid != pod.metadata.uid)
            status = replace(claim.status, reserved_for=users) if users else ResourceClaimStatus()
            self.put(replace(claim, status=status))

    def _hand_over(self, pod: Pod, uid: str) -> None:
        """The claims that were made with the pod are made again with the one that takes its place."""
        for status in pod.status.resource_claim_statuses:
            claim = self.snapshot.of(ResourceClaim).get(
                (pod.metadata.namespace or "", status.resource_claim_name or "")
            )
            if claim is not None:
                owners = claim.metadata.owner_references
                new = tuple(replace(owner, uid=uid) if owner.uid == pod.metadata.uid else owner for owner in owners)
                self.put(replace(claim, metadata=replace(claim.metadata, owner_references=new)))

    def _wait(self, info: PodInfo, cause: Cause, was: str) -> None:
        # A pod that comes back to its place in the report keeps it.
        self.cases.pop(info.key, None)
        self.cases[info.key] = self.waiting[info.key] = Case(info, cause, was, next(self._order))
        self.epoch += 1


def _anew(status: PodStatus) -> PodStatus:
    """Of the old pod's, what the new one will have too: the names of its claims."""
    return PodStatus(phase="Pending", resource_claim_statuses=status.resource_claim_statuses)


def named(key: PodKey) -> str:
    return f"{key[0]}/{key[1]}"


def is_static(pod: Pod) -> bool:
    """Whether the kubelet of its node runs it without being told by anybody."""
    reference = controller_of(pod)
    return MIRROR in pod.metadata.annotations or (reference is not None and reference.kind == "Node")


def is_daemon(pod: Pod) -> bool:
    """Whether it belongs to a DaemonSet."""
    reference = controller_of(pod)
    return reference is not None and reference.kind == "DaemonSet"
