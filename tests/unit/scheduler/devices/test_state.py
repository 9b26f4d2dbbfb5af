"""What is known of claims: no device is free for a moment only because news came in another order."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.unit.scheduler.devices.making import DRIVER, claim, device, device_class, pod_with, slice_of
from tiphys.api.types.core_v1 import PodResourceClaimStatus
from tiphys.api.types.meta_v1 import OwnerReference
from tiphys.api.types.resource_v1 import (
    AllocationResult,
    DeviceAllocationResult,
    DeviceRequestAllocationResult,
    ResourceClaim,
)
from tiphys.scheduler.devices import ClaimProblem, DeviceId
from tiphys.scheduler.devices.answers import Answers
from tiphys.scheduler.devices.requests import resolve
from tiphys.scheduler.devices.state import DeviceState

D0: DeviceId = (DRIVER, "a", "d0")
POD, OTHER = ("default", "p"), ("default", "q")


def given_out(name: str = "d0", pool: str = "a") -> AllocationResult:
    result = DeviceRequestAllocationResult(request="r", driver=DRIVER, pool=pool, device=name)
    return AllocationResult(devices=DeviceAllocationResult(results=(result,)))


def at(version: int, known: ResourceClaim, allocation: AllocationResult | None = None) -> ResourceClaim:
    """The claim as of a resourceVersion."""
    meta = replace(known.metadata, resource_version=str(version))
    return replace(known, metadata=meta, status=replace(known.status, allocation=allocation))


def test_an_old_event_does_not_take_devices_back() -> None:
    state, known = DeviceState(), claim("c")
    state.observe_claim(at(1, known))
    state.assume("uid-c", given_out())
    state.observe_answer(at(3, known, given_out()))
    state.observe_claim(at(2, known))
    assert D0 in state.usage
    state.observe_claim(at(4, known))
    assert D0 not in state.usage


def test_an_answer_about_a_claim_that_is_gone_is_not_news() -> None:
    state, known = DeviceState(), claim("c")
    state.observe_claim(at(1, known))
    state.observe_claim(at(4, known, given_out()), gone=True)
    state.observe_answer(at(3, known, given_out()))
    assert D0 not in state.usage
    assert not state.claims
    # A new claim of that name is another one, whatever its version.
    new = replace(known, metadata=replace(known.metadata, uid="other"))
    state.observe_claim(at(2, new, given_out()))
    state.observe_answer(at(9, known))
    assert D0 in state.usage


def test_devices_in_flight_stay_so_until_nobody_needs_them() -> None:
    state, known = DeviceState(), claim("c")
    state.observe_claim(at(1, known))
    state.assume("uid-c", given_out())
    state.hold("uid-c", POD)
    state.hold("uid-c", OTHER)
    state.release("uid-c", POD)
    state.release("uid-c", POD)
    assert state.allocation_of(known) is not None
    state.release("uid-c", OTHER)
    assert state.allocation_of(known) is None
    assert D0 not in state.usage


@settings(max_examples=200, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1 << 32))
def test_a_device_is_free_only_if_it_is_in_the_newest_version(seed: int) -> None:
    """Answers come in the order of writes, the watch's events as well, but each when it likes."""
    rng, state, known = random.Random(seed), DeviceState(), claim("c")
    state.observe_claim(at(1, known))
    history = [at(version, known, rng.choice((None, given_out()))) for version in range(2, 9)]
    events = history.copy()
    answers = [each for each in history if rng.random() < 0.6]
    newest = 1
    while events or answers:
        source = rng.choice([each for each in (events, answers) if each])
        made = source.pop(0)
        (state.observe_claim if source is events else state.observe_answer)(made)
        newest = max(newest, int(made.metadata.resource_version or ""))
        current = at(1, known) if newest == 1 else history[newest - 2]
        assert (D0 in state.usage) == (current.status.allocation is not None)


def test_a_claim_made_for_another_pod_is_refused() -> None:
    state = DeviceState()
    pod = pod_with("p", templates=("t",))
    recorded = (PodResourceClaimStatus(name="t0", resource_claim_name="c"),)
    pod = replace(
        pod, metadata=replace(pod.metadata, uid="u"), status=replace(pod.status, resource_claim_statuses=recorded)
    )
    state.observe_claim(claim("c"))
    with pytest.raises(ClaimProblem, match=r"ResourceClaim default/c was not created for pod default/p"):
        state.claims_of(pod)
    owner = OwnerReference(api_version="v1", kind="Pod", name="p", uid="u", controller=True)
    mine = claim("c")
    state.observe_claim(replace(mine, metadata=replace(mine.metadata, owner_references=(owner,))))
    assert [each.metadata.name for each in state.claims_of(pod)] == ["c"]


def test_only_nodes_where_something_changed_are_asked_again() -> None:
    state = DeviceState()
    state.observe_class(device_class())
    for node in ("n1", "n2"):
        state.observe_slice(slice_of(node, device("d0"), node=node))
    answers, asked = Answers(state), [resolve(claim("c"), state.classes)]
    assert {name: why for name, (_, why) in answers.local(asked).items()} == {"n1": "", "n2": ""}
    before = answers.local(asked)["n2"]
    state.assume("uid-d", given_out(pool="n1"))
    after = answers.local([resolve(claim("e"), state.classes)])
    assert after["n1"][1] == "cannot allocate all claims"
    assert after["n2"] is before
    state.forget("uid-d")
    assert answers.local(asked)["n1"][1] == ""
    state.observe_slice(slice_of("n1", device("d0"), device("d1"), node="n1"))
    assert set(answers.local(asked)) == {"n1", "n2"}
