import asyncio

import pytest

from tests.unit.client.fake_api import FakeApi
from tiphys.client import ElectionConfig, LeaderElector, LeadershipLost
from tiphys.testing.clock import FakeClock, settle

LEASE = "leases/kube-system/thing"


def elector(api: FakeApi, clock: FakeClock, identity: str) -> LeaderElector:
    return LeaderElector(api.client(), ElectionConfig("thing", identity), clock=clock, draw=lambda: 0.0)


async def forever() -> None:
    await asyncio.Event().wait()


async def stop(*tasks: "asyncio.Future[None]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_one_of_two_works_and_the_other_takes_over_when_it_leaves() -> None:
    api, clock = FakeApi(), FakeClock()
    first, second = elector(api, clock, "a"), elector(api, clock, "b")
    one = asyncio.ensure_future(first.run(forever))
    await settle()
    two = asyncio.ensure_future(second.run(forever))
    await clock.advance(60)
    assert (first.is_leader, second.is_leader) == (True, False)
    await stop(one)
    await clock.advance(5)
    assert (first.is_leader, second.is_leader) == (False, True)
    assert api.objects[LEASE]["spec"]["leaseTransitions"] == 1
    await stop(two)


async def test_a_leader_that_vanishes_is_replaced_after_its_lease() -> None:
    api, clock = FakeApi(), FakeClock()
    gone = elector(api, clock, "a")
    assert await gone._try()
    second = elector(api, clock, "b")
    two = asyncio.ensure_future(second.run(forever))
    await settle()
    await clock.advance(14)
    assert not second.is_leader
    await clock.advance(6)
    assert second.is_leader
    await stop(two)


async def test_work_is_cancelled_when_the_lease_cannot_be_renewed() -> None:
    api, clock = FakeApi(), FakeClock()
    cancelled = asyncio.Event()

    async def work() -> None:
        try:
            await forever()
        finally:
            cancelled.set()

    leader = elector(api, clock, "a")
    task = asyncio.ensure_future(leader.run(work))
    await settle()
    assert leader.is_leader
    api.refuse = [ConnectionRefusedError("down")] * 50
    await clock.advance(13)
    with pytest.raises(LeadershipLost):
        await task
    assert cancelled.is_set()
    assert not leader.is_leader


async def test_the_lease_is_given_back_when_the_work_is_done() -> None:
    api, clock = FakeApi(), FakeClock()

    async def work() -> None:
        return None

    await elector(api, clock, "a").run(work)
    assert api.objects[LEASE]["spec"]["holderIdentity"] == ""


async def test_a_renewal_that_hangs_gets_no_more_time_than_the_lease_has(monkeypatch: pytest.MonkeyPatch) -> None:
    api, clock = FakeApi(), FakeClock()
    leader = elector(api, clock, "a")
    one = asyncio.ensure_future(leader.run(forever))
    await settle()
    given: list[float] = []

    async def fails(seconds: float | None = None) -> bool:
        assert seconds is not None
        given.append(seconds)
        return False

    monkeypatch.setattr(leader, "_try", fails)
    await clock.advance(60)
    with pytest.raises(LeadershipLost):
        await one
    # Ten seconds from the last renewal, tried every two.
    assert given == pytest.approx([8, 6, 4, 2])
