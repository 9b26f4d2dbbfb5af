"""DynamicResources: a pod goes where the devices are that its claims have, or can get.

A claim without devices gets them with the pod's node: at `reserve` they are taken out of the others' reach, at
`pre_bind` they are written into the claim's status, with the pod as its user.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from tiphys.api.resource_claims import MAXIMUM_USERS
from tiphys.api.types.core_v1 import NodeSelector, Pod
from tiphys.api.types.resource_v1 import DeviceClass, ResourceClaim, ResourceSlice
from tiphys.scheduler.arrays import Bools, Ints, Rows
from tiphys.scheduler.claim_writer import IN_USE, ClaimWriter
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.device_conditions import BINDING_TIMEOUT_SECONDS, BindingFailed, is_pending
from tiphys.scheduler.devices.allocator import Selects
from tiphys.scheduler.devices.answers import Answers
from tiphys.scheduler.devices.requests import Asked, ClaimProblem, resolve
from tiphys.scheduler.devices.results import allocation
from tiphys.scheduler.devices.search import CANNOT_ALLOCATE, Unsatisfiable
from tiphys.scheduler.devices.state import DeviceState, claim_names
from tiphys.scheduler.durations import seconds
from tiphys.scheduler.framework import Candidate, Failure, NodeFilter, Plugin, Refusal, Rejected, Trigger
from tiphys.scheduler.node_match import matches_any
from tiphys.scheduler.plugin_args import DynamicResourcesArgs
from tiphys.scheduler.template import PodInfo, Template


class DynamicResources(Plugin):
    name = "DynamicResources"
    helped_by = Trigger.NODE_ADDED | Trigger.NODE_CHANGED | Trigger.DEVICES_CHANGED | Trigger.POD_GONE
    args_type = DynamicResourcesArgs

    def __init__(self, args: Any = None, handle: Any = None) -> None:
        super().__init__(args, handle)
        self.state = DeviceState() if handle is None else handle.shared(DeviceState)
        self._answers = Answers(self.state)
        self._binding_seconds = seconds(self.args.binding_timeout) or BINDING_TIMEOUT_SECONDS
        if handle is not None:
            self._writer = ClaimWriter(handle.client, self.state)
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
        self.handle.changes.happened()
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
            return _Filter(self._answers, asked, reach, cluster)
        except ClaimProblem as problem:
            return _Refused(str(problem))

    def post_filter(self, failure: Failure) -> Candidate | Refusal | None:
        """Devices of a claim that nobody else uses are given back if they are what keeps the pod from nodes."""
        pod = failure.info.pod
        if not pod.spec.resource_claims or self.handle is None or self.handle.client is None:
            return None
        for _, key in claim_names(pod):
            claim = self.state.claims.get(key) if key is not None else None
            if claim is not None and self._is_in_the_way(claim, failure):
                self.handle.later(partial(self._writer.deallocate, claim))
                return Refusal("deallocation of ResourceClaim completed")
        return None

    def _is_in_the_way(self, claim: ResourceClaim, failure: Failure) -> bool:
        allocated = claim.status.allocation
        if allocated is None or any(user.uid != failure.info.uid for user in claim.status.reserved_for):
            return False
        nodes = failure.cluster.nodes
        if allocated.node_selector is None or self.state.is_held(claim.metadata.uid or ""):
            return False
        selected = matches_any(allocated.node_selector, nodes)
        return not all(selected[row] for row in nodes.rows.values())

    def reserve(self, info: PodInfo, node_name: str) -> None:
        if not info.pod.spec.resource_claims:
            return
        try:
            claims = self.state.claims_of(info.pod)
            if any(_is_full(claim, info) for claim in claims):
                raise Rejected(IN_USE)
            missing = [claim for claim in claims if self.state.allocation_of(claim) is None]
            asked = [resolve(claim, self.state.classes) for claim in missing]
            grants = self.state.allocator().allocate(asked, node_name, self._selects(node_name)) if asked else []
        except (ClaimProblem, Unsatisfiable) as problem:
            raise Rejected(str(problem)) from problem
        now = self.handle.timestamp()
        for grant in grants:
            result = allocation(grant, node_name, self.state.classes, now, lambda: str(uuid.uuid4()))
            self.state.assume(grant.asked.claim.metadata.uid or "", result)
        for claim in claims:
            self.state.hold(claim.metadata.uid or "", info.key)
        if grants:
            self.handle.cluster.moved(self.name)

    def unreserve(self, info: PodInfo, node_name: str) -> None:
        for _, key in claim_names(info.pod):
            claim = self.state.claims.get(key) if key is not None else None
            if claim is None:
                continue
            self.state.release(claim.metadata.uid or "", info.key)
            self.handle.cluster.moved(self.name)
            if any(user.uid == info.uid for user in claim.status.reserved_for) and self.handle.client is not None:
                self.handle.later(partial(self._writer.release, claim, info.uid))

    def has_work(self, info: PodInfo) -> bool:
        return bool(info.pod.spec.resource_claims)

    async def pre_bind(self, info: PodInfo, node_name: str) -> None:
        for claim in self._claims(info):
            await self._writer.reserve(claim, info, self._selects(node_name))
        try:
            if not self._are_ready(info):
                said = f"waiting for binding conditions for device on node {node_name}"
                self.handle.recorder.event(info.pod, "Normal", "BindingConditionsPending", said)
                await self._until_ready(info)
        except BindingFailed as failure:
            # Other devices may do, if nobody else uses these.
            if all(user.uid == info.uid for user in failure.claim.status.reserved_for):
                await self._writer.deallocate(failure.claim)
            raise

    def _are_ready(self, info: PodInfo) -> bool:
        return not any(is_pending(claim) for claim in self._claims(info))

    async def _until_ready(self, info: PodInfo) -> None:
        changes, clock = self.handle.changes, self.handle.clock
        try:
            await changes.until(lambda: self._are_ready(info), clock, self._binding_seconds)
        except TimeoutError:
            claim = next(claim for claim in self._claims(info) if is_pending(claim))
            raise BindingFailed(f"device binding timeout: claim={claim.metadata.name}", claim) from None

    def _claims(self, info: PodInfo) -> list[ResourceClaim]:
        try:
            return self.state.claims_of(info.pod)
        except ClaimProblem as problem:
            raise Rejected(str(problem)) from problem

    def post_bind(self, info: PodInfo, node_name: str) -> None:
        """From now on the claims' statuses say that it uses them."""
        for _, key in claim_names(info.pod):
            if key is not None and (claim := self.state.claims.get(key)) is not None:
                self.state.release(claim.metadata.uid or "", info.key)

    def _selects(self, node_name: str) -> Selects:
        nodes = self.handle.cluster.nodes

        def selects(selector: NodeSelector) -> bool:
            row = nodes.rows.get(node_name)
            return row is not None and bool(matches_any(selector, nodes)[row])

        return selects


def _is_full(claim: ResourceClaim, info: PodInfo) -> bool:
    users = claim.status.reserved_for
    return len(users) >= MAXIMUM_USERS and all(user.uid != info.uid for user in users)


class _Filter(NodeFilter):
    def __init__(
        self, answers: Answers, asked: Sequence[Asked], reach: Sequence[NodeSelector], cluster: Cluster
    ) -> None:
        nodes = cluster.nodes
        self._reached = np.ones(nodes.size, np.bool_)
        for selector in reach:
            self._reached &= matches_any(selector, nodes)
        asks = any(each.requests for each in asked)
        self._satisfied = np.full(nodes.size, not asks, np.bool_)
        self._others: dict[str, Bools] = {}
        for name, why in _reasons(answers, asked, self._reached, cluster) if asks else ():
            row = nodes.rows.get(name)
            if row is not None and not why:
                self._satisfied[row] = True
            elif row is not None and why != CANNOT_ALLOCATE:
                self._others.setdefault(why, np.zeros(nodes.size, np.bool_))[row] = True

    def passes(self, rows: Rows) -> Bools:
        return self._reached[rows] & self._satisfied[rows]

    def reasons(self, rows: Ints) -> Iterator[tuple[str, Bools]]:
        left = self._reached[rows]
        yield "resourceclaim not available on the node", ~left
        for why, holds in self._others.items():
            yield why, left & holds[rows]
            left = left & ~holds[rows]
        yield CANNOT_ALLOCATE, left


def _reasons(answers: Answers, asked: Sequence[Asked], reached: Bools, cluster: Cluster) -> Iterator[tuple[str, str]]:
    """(node, why it cannot satisfy the claims); nodes that are not said have no devices."""
    nodes = cluster.nodes
    if answers.are_local:
        for name, (_, why) in answers.local(asked).items():
            yield name, why
        return
    selected: dict[int, Bools] = {}

    def selects(selector: NodeSelector, row: int) -> bool:
        if id(selector) not in selected:
            selected[id(selector)] = matches_any(selector, nodes)
        return bool(selected[id(selector)][row])

    reachable = [(name, row) for name, row in nodes.rows.items() if reached[row]]
    yield from answers.each(asked, [(name, partial(selects, row=row)) for name, row in reachable]).items()


class _Refused(NodeFilter):
    """No node: the reason is the pod's own."""

    def __init__(self, reason: str) -> None:
        self.pod_reason = reason

    def passes(self, rows: Rows) -> Bools:
        return np.zeros(1, np.bool_)
