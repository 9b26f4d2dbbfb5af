"""Pods that wait for devices."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from tests.unit.scheduler.devices.making import claim, device, device_class, pod_with, request, slice_of
from tests.unit.scheduler.explaining.clusters import on, texts
from tests.unit.scheduler.objects import node
from tiphys.api.types.resource_v1 import (
    AllocationResult,
    DeviceAllocationResult,
    DeviceRequestAllocationResult,
    ResourceClaim,
    ResourceClaimConsumerReference,
)
from tiphys.cmd.why import explain_in
from tiphys.scheduler.explaining.explanation import Explanation, Verdict
from tiphys.scheduler.snapshot import Snapshot

DRIVER = "gpu.example.com"


def why(waiting: Any, *objects: Any) -> Explanation:
    return explain_in(Snapshot([waiting, *objects]), waiting)


def with_device(made: ResourceClaim, pool: str, name: str, user: str) -> ResourceClaim:
    """The claim with that device, used by that pod."""
    result = DeviceRequestAllocationResult(request="r", driver=DRIVER, pool=pool, device=name)
    allocation = AllocationResult(devices=DeviceAllocationResult(results=(result,)))
    users = (ResourceClaimConsumerReference(resource="pods", name=user, uid=f"uid-{user}"),)
    return replace(made, status=replace(made.status, allocation=allocation, reserved_for=users))


def named(name: str, *claims: str) -> Any:
    made = pod_with(name, *claims)
    return replace(made, metadata=replace(made.metadata, uid=f"uid-{name}"))


def test_a_claim_that_is_not_there() -> None:
    explanation = why(named("p", "gpu"), node("n1"), device_class(), slice_of("s", device("d1"), node="n1"))
    assert explanation.verdict is Verdict.GATED
    assert explanation.summary == 'It is held back: resourceclaim "gpu" not found.'
    assert texts(explanation) == ["create the ResourceClaim gpu, for example for a device of class gpu"]


def test_devices_that_others_have() -> None:
    devices = slice_of("s", device("d1"), node="n1")
    taken = with_device(claim("theirs"), "s", "d1", "other")
    other = on("n1", named("other", "theirs"))
    explanation = why(named("p", "gpu"), node("n1"), node("n2"), device_class(), devices, claim("gpu"), taken, other)
    (reason,) = explanation.reasons
    assert (reason.reason, reason.nodes) == ("cannot allocate all claims", 2)
    assert reason.detail == "claim gpu asks for 1 of class gpu; these nodes have 1 device, and 0 are free"
    assert texts(explanation) == ["remove pod default/other from node n1, whose devices then are free"]
    assert explanation.remedies[0].examples == ("n1",)


def test_no_device_of_that_kind() -> None:
    asked = claim("gpu", request("r", 2))
    explanation = why(named("p", "gpu"), node("n1"), device_class(), slice_of("s", device("d1"), node="n1"), asked)
    assert explanation.reasons[0].detail == (
        "claim gpu asks for 2 of class gpu; these nodes have 1 device, and 1 is free"
    )
    assert explanation.remedies == ()
