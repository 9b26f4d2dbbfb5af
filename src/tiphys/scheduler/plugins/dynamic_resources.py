"""DynamicResources: a pod goes where the devices are that its claims have, or can get.

A claim without devices gets them with the pod's node: at `reserve` they are taken out of the others' reach, at
`pre_bind` they are written into the claim's status, with the pod as its user.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec.structs import replace

from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import NodeSelector, Pod
from tiphys.api.types.resource_v1 import (
    AllocationResult,
    DeviceClass,
    ResourceClaim,
    ResourceClaimConsumerReference,
    ResourceSlice,
)
from tiphys.scheduler.arrays import Bools, Rows
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.devices.allocator import Allocator, Grant, Unsatisfiable, allocation
from tiphys.scheduler.devices.requests import Asked, ClaimProblem, resolve
from tiphys.scheduler.devices.state import DeviceState, claim_names
from tiphys.scheduler.framework import NodeFilter, Plugin, Rejected, Trigger
from tiphys.scheduler.node_match import matches_any
from tiphys.scheduler.plugin_args import DynamicResourcesArgs
from tiphys.scheduler.template import PodInfo, Template

FINALIZER = "resource.kubernetes.io/delete-protection"
MAXIMUM_USERS = 256
_TRIES = 5


class DynamicResources(Plugin):
    name = "DynamicResources"
    helped_by = Trigger.NODE_ADDED | Trigger.NODE_CHANGED | Trigger.DEVICES_CHANGED | Trigger.POD_GONE
    args_type = DynamicResourcesArgs

    def __init__(self, args: Any = None, handle: Any = None) -> None:
        super().__init__(args, handle)
        self.state = DeviceState() if handle is None else handle.shared(DeviceState)
        if handle is not None and handle.is_first(self.name):
            self._watch()

    def _watch(self) -> None:
        for kind, observe in (
            (ResourceSlice, self.state.observe_slice),
            (DeviceClass, self.state.observe_class),
            (ResourceClaim, self.state.observe_claim),
        ):
            self.handle.informer(kind).add_handler(
                on_add=lambda obj, observe=observe: self._seen(observe, obj),
                on_update=lambda _, obj, observe=observe: self._seen(observe, obj),
                on_delete=lambda obj, observe=observe: self._seen(observe, obj, gone=True),
            )

    def _seen(self, observe: Any, obj: Any, *, gone: bool = False) -> None:
        observe(obj, gone=gone)
        self.handle.cluster.moved(self.name)
        self.handle.happened(Trigger.DEVICES_CHANGED)

    def key(self, pod: Pod) -> object:
        if not pod.spec.resource_claims:
            return None
        return [[name, key] for name, key in claim_names(pod)]

    def pre_enqueue(self, pod: Pod) -> str:
        if not pod.spec.resource_claims:
            return ""
        try:
            self.state.claims_of(pod)
        except ClaimProblem as problem:
            return str(problem)
        return ""

    def filter(self, template: Template, cluster: Cluster) -> NodeFilter | None:
        names = template.facts.get(self.name)
        if not isinstance(names, list):
            return None
        claims = []
        for name, key in names:
            claim = self.state.claims.get(tuple(key)) if key is not None else None
            if claim is None:
                return _Refused(
                    f'resourceclaim "{key[1]}" not found' if key is not None else f"claim {name} is not made"
                )
            claims.append(claim)
        return self._filter(claims, cluster)

    def _filter(self, claims: Sequence[ResourceClaim], cluster: Cluster) -> NodeFilter:
        reach: list[NodeSelector] = []
        asked: list[Asked] = []
        try:
            for claim in claims:
                result = self.state.allocation_of(claim)
                if result is None:
                    asked.append(resolve(claim, self.state.classes))
                elif result.node_selector is not None:
                    reach.append(result.node_selector)
            return _Filter(self.state.allocator(), asked, reach, cluster)
        except ClaimProblem as problem:
            return _Refused(str(problem))

    def reserve(self, info: PodInfo, node_name: str) -> None:
        if not info.pod.spec.resource_claims:
            return
        try:
            claims = self.state.claims_of(info.pod)
            missing = [claim for claim in claims if self.state.allocation_of(claim) is None]
            if not missing:
                return
            asked = [resolve(claim, self.state.classes) for claim in missing]
            grants = _allocate(self.state.allocator(), asked, node_name, self.handle.cluster)
        except ClaimProblem as problem:
            raise Rejected(str(problem)) from problem
        except Unsatisfiable:
            raise Rejected("cannot allocate all claims") from None
        now = self.handle.timestamp()
        for grant in grants:
            claim = grant.asked.claim
            self.state.assume(claim.metadata.uid or "", allocation(grant, node_name, self.state.classes, now))
        self.handle.cluster.moved(self.name)

    def unreserve(self, info: PodInfo, node_name: str) -> None:
        for _, key in claim_names(info.pod):
            claim = self.state.claims.get(key) if key is not None else None
            if claim is not None and not self._is_others(claim, info):
                self.state.forget(claim.metadata.uid or "")
                self.handle.cluster.moved(self.name)

    def _is_others(self, claim: ResourceClaim, info: PodInfo) -> bool:
        """Whether another pod, placed as well, is to use what the claim is to get."""
        return any(
            other.key != info.key and any(key == _key(claim) for _, key in claim_names(other.pod))
            for there in self.handle.cluster.pods_on.values()
            for other in there.values()
            if other.pod.spec.resource_claims and not other.pod.spec.node_name
        )

    def has_work(self, info: PodInfo) -> bool:
        return bool(info.pod.spec.resource_claims)

    async def pre_bind(self, info: PodInfo, node_name: str) -> None:
        for claim in self.state.claims_of(info.pod):
            await self._write(claim, info)

    async def _write(self, claim: ResourceClaim, info: PodInfo) -> None:
        """Devices and user into the claim's status, whatever others write meanwhile."""
        client, meta = self.handle.client, claim.metadata
        for _ in range(_TRIES):
            try:
                current = await client.get(ResourceClaim, meta.name, meta.namespace)
                if current.metadata.uid != meta.uid or current.metadata.deletion_timestamp is not None:
                    raise Rejected(f'resourceclaim "{meta.name}" is being deleted')
                if current.status.allocation is None and FINALIZER not in current.metadata.finalizers:
                    kept = replace(current.metadata, finalizers=(*current.metadata.finalizers, FINALIZER))
                    current = await client.update(replace(current, metadata=kept))
                wanted = self._with_user(current, info)
                if wanted is not current:
                    self.state.observe_claim(await client.update_status(wanted))
                return
            except ApiError as error:
                if error.code != 409:
                    raise
        raise Rejected(f'resourceclaim "{meta.name}" changes too often', unschedulable=False)

    def _with_user(self, claim: ResourceClaim, info: PodInfo) -> ResourceClaim:
        status = claim.status
        mine: AllocationResult | None = self.state.in_flight.get(claim.metadata.uid or "")
        if status.allocation is None:
            if mine is None:
                raise Rejected(f'resourceclaim "{claim.metadata.name}" lost its devices', unschedulable=False)
            status = replace(status, allocation=mine)
        elif mine is not None and mine.devices != status.allocation.devices:
            raise Rejected(f'resourceclaim "{claim.metadata.name}" was given other devices', unschedulable=False)
        if all(user.uid != info.uid for user in status.reserved_for):
            if len(status.reserved_for) >= MAXIMUM_USERS:
                raise Rejected(f'resourceclaim "{claim.metadata.name}" in use')
            user = ResourceClaimConsumerReference(resource="pods", name=info.key[1], uid=info.uid)
            status = replace(status, reserved_for=(*status.reserved_for, user))
        return claim if status is claim.status else replace(claim, status=status)


def _key(claim: ResourceClaim) -> tuple[str, str]:
    return (claim.metadata.namespace or "", claim.metadata.name or "")


def _allocate(allocator: Allocator, asked: Sequence[Asked], node_name: str, cluster: Cluster) -> list[Grant]:
    row = cluster.nodes.rows[node_name]
    return allocator.allocate(asked, node_name, lambda selector: bool(matches_any(selector, cluster.nodes)[row]))


class _Filter(NodeFilter):
    def __init__(
        self, allocator: Allocator, asked: Sequence[Asked], reach: Sequence[NodeSelector], cluster: Cluster
    ) -> None:
        nodes = cluster.nodes
        self._reached = np.ones(nodes.size, np.bool_)
        for selector in reach:
            self._reached &= matches_any(selector, nodes)
        self._satisfied = np.ones(nodes.size, np.bool_)
        if not asked:
            return
        selected: dict[int, Bools] = {}

        def selects(selector: NodeSelector, row: int) -> bool:
            if id(selector) not in selected:
                selected[id(selector)] = matches_any(selector, nodes)
            return bool(selected[id(selector)][row])

        for name, row in nodes.rows.items():
            self._satisfied[row] = (
                self._reached[row]
                and (allocator.may_have(name) or not any(each.requests for each in asked))
                and _succeeds(allocator, asked, name, lambda selector, row=row: selects(selector, row))
            )

    def passes(self, rows: Rows) -> Bools:
        return self._reached[rows] & self._satisfied[rows]

    def reasons(self, rows: Any) -> Any:
        yield "resourceclaim not available on the node", ~self._reached[rows]
        yield "cannot allocate all claims", self._reached[rows]


def _succeeds(allocator: Allocator, asked: Sequence[Asked], node_name: str, selects: Any) -> bool:
    try:
        allocator.allocate(asked, node_name, selects)
    except Unsatisfiable:
        return False
    return True


class _Refused(NodeFilter):
    """No node: the reason is the pod's own."""

    def __init__(self, reason: str) -> None:
        self.pod_reason = reason

    def passes(self, rows: Rows) -> Bools:
        return np.zeros(1, np.bool_)
