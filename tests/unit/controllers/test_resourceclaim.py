"""Claims made from templates, and when devices are given back."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from tests.unit.scheduler.devices.making import claim, pod_with, template
from tiphys.api import errors
from tiphys.api.resource_claims import FINALIZER
from tiphys.api.types.core_v1 import Pod
from tiphys.api.types.resource_v1 import (
    AllocationResult,
    ResourceClaim,
    ResourceClaimConsumerReference,
    ResourceClaimTemplate,
)
from tiphys.client import ObjectKey
from tiphys.client.informer import SharedInformers
from tiphys.controllers.resourceclaim.controller import ResourceClaimController
from tiphys.controllers.resourceclaim.reconcile import cleaned, is_done, made, unreserved, wanted
from tiphys.controllers.runtime import Environment


class Api:
    """What was written, and the pods and claims that can be asked for."""

    def __init__(self, *pods: Pod) -> None:
        self.pods = {pod.metadata.name: pod for pod in pods}
        self.written: list[tuple[str, Any]] = []

    async def get(self, kind: type[Pod], name: str, namespace: str) -> Pod:
        self.written.append(("get", name))
        if name not in self.pods:
            raise errors.not_found("pods", name)
        return self.pods[name]

    async def create(self, obj: ResourceClaim) -> ResourceClaim:
        self.written.append(("create", obj))
        return replace(obj, metadata=replace(obj.metadata, name=f"{obj.metadata.generate_name}x", uid="made"))

    async def update(self, obj: ResourceClaim) -> ResourceClaim:
        self.written.append(("update", obj))
        return obj

    async def update_status(self, obj: ResourceClaim) -> ResourceClaim:
        self.written.append(("status", obj))
        return obj

    async def patch(self, kind: Any, name: str, namespace: str, body: Any, **how: Any) -> None:
        self.written.append(("patch", body))


def controller(api: Api, *known: Any) -> ResourceClaimController:
    """One that knows these objects, and is not told of others."""
    client: Any = api
    environment = Environment(client, SharedInformers(client))
    found = ResourceClaimController(environment)
    for obj in known:
        environment.informer(type(obj)).cache.set(obj)
    return found


def pod_of(name: str, *claims: str, templates: tuple[str, ...] = (), node: str = "", phase: str = "") -> Pod:
    pod = pod_with(name, *claims, templates=templates)
    return replace(
        pod,
        metadata=replace(pod.metadata, uid=f"uid-{name}"),
        spec=replace(pod.spec, node_name=node or None),
        status=replace(pod.status, phase=phase or None),
    )


def used(name: str, *pods: str) -> ResourceClaim:
    """A claim with devices and users."""
    found = claim(name)
    users = tuple(ResourceClaimConsumerReference(resource="pods", name=p, uid=f"uid-{p}") for p in pods)
    status = replace(found.status, allocation=AllocationResult(), reserved_for=users)
    return replace(found, metadata=replace(found.metadata, finalizers=(FINALIZER,)), status=status)


KEY = ObjectKey("default", "claim/c")


async def test_a_user_that_only_the_apiserver_knows_keeps_its_devices() -> None:
    api = Api(pod_of("p"))
    await controller(api, used("c", "p")).sync(KEY)
    assert api.written == [("get", "p")]


async def test_devices_are_given_back_when_the_last_user_is_gone() -> None:
    api = Api()
    await controller(api, used("c", "p")).sync(KEY)
    _, (_, status), (_, kept) = api.written
    assert status.status.allocation is None
    assert status.status.reserved_for == ()
    assert kept.metadata.finalizers == ()


async def test_another_pod_of_that_name_is_not_the_user() -> None:
    other = replace(pod_of("p"), metadata=replace(pod_of("p").metadata, uid="new"))
    api = Api(other)
    await controller(api, other, used("c", "p")).sync(KEY)
    assert [what for what, _ in api.written] == ["get", "status", "update"]


async def test_a_finished_user_goes_and_others_stay() -> None:
    api = Api()
    known = [pod_of("p", phase="Succeeded"), pod_of("q", phase="Running"), used("c", "p", "q")]
    await controller(api, *known).sync(KEY)
    ((_, status),) = api.written
    assert [user.name for user in status.status.reserved_for] == ["q"]
    assert status.status.allocation is not None


async def test_a_claim_is_made_once_though_it_is_seen_late() -> None:
    api = Api()
    pod = pod_of("p", templates=("t",))
    made_by = controller(api, pod, template("t"))
    for _ in range(2):
        await made_by.sync(ObjectKey("default", "p"))
    assert [what for what, _ in api.written] == ["create", "patch", "patch"]
    claim_made = api.written[0][1]
    assert claim_made.metadata.generate_name == "p-t0-"
    assert claim_made.metadata.annotations == {"resource.kubernetes.io/pod-claim-name": "t0"}
    assert [(o.kind, o.name, o.uid, o.controller) for o in claim_made.metadata.owner_references] == [
        ("Pod", "p", "uid-p", True)
    ]
    assert api.written[1][1]["status"] == {"resourceClaimStatuses": [{"name": "t0", "resourceClaimName": "p-t0-x"}]}


async def test_a_pod_that_was_given_its_node_by_hand_becomes_a_user() -> None:
    api = Api()
    pod = pod_of("p", "c", node="n1")
    await controller(api, pod, used("c", "q")).sync(ObjectKey("default", "p"))
    ((_, status),) = api.written
    assert [user.name for user in status.status.reserved_for] == ["q", "p"]


def test_who_is_reserved_for() -> None:
    of = {"c": used("c"), "d": claim("d")}.get
    assert list(unreserved(pod_of("p", "c", "d", node="n1"), of)) == ["c"]
    assert not list(unreserved(pod_of("p", "c"), of))
    assert not list(unreserved(pod_of("p", "c", node="n1", phase="Failed"), of))
    assert not list(unreserved(pod_of("p", "c", node="n1"), {"c": used("c", "p")}.get))


def test_what_is_wanted() -> None:
    pod = pod_of("p", "c", templates=("t", "u"))
    assert list(wanted(pod)) == [("t0", "t"), ("t1", "u")]
    gone = replace(pod, metadata=replace(pod.metadata, deletion_timestamp="2026-01-01T00:00:00Z"))
    assert is_done(gone)
    assert not list(wanted(gone))


def test_a_deleted_claim_that_nobody_uses_gives_its_devices_back() -> None:
    free = used("c")
    assert cleaned(free, lambda user: True) is None
    gone = replace(free, metadata=replace(free.metadata, deletion_timestamp="2026-01-01T00:00:00Z"))
    status = cleaned(gone, lambda user: True)
    assert status is not None
    assert status.allocation is None


def test_names_leave_room_for_what_the_apiserver_adds() -> None:
    long: ResourceClaimTemplate = template("t")
    found = made(pod_of("p" * 63), "t0", long)
    assert len(found.metadata.generate_name or "") <= 58
