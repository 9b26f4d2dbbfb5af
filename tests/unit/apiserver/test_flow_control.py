"""Priority and fairness: who falls under what, who waits for whom, and that nobody starves."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.apiserver.harness import settle
from tiphys.api.types.flowcontrol_v1 import FlowSchema, PriorityLevelConfiguration
from tiphys.apiserver.authentication.user import ANONYMOUS, MASTERS, User, authenticated, service_account_groups
from tiphys.apiserver.bootstrap import flow_control as built_in
from tiphys.apiserver.flow_control.classification import first_match, flow_of, in_order
from tiphys.apiserver.flow_control.levels import CONCURRENCY_LIMIT, QUEUE_FULL, TIME_OUT, Level, Rejected, Seats
from tiphys.apiserver.routing import Router

_OBJECTS = list(built_in.objects())
SCHEMAS = in_order(one for one in _OBJECTS if isinstance(one, FlowSchema))
LEVELS = [one for one in _OBJECTS if isinstance(one, PriorityLevelConfiguration)]
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"


def _account(namespace: str, name: str) -> User:
    return User(f"system:serviceaccount:{namespace}:{name}", "", authenticated(service_account_groups(namespace)))


def _user(name: str, *groups: str) -> User:
    return User(name, "", authenticated(groups))


@pytest.mark.parametrize(
    ("user", "method", "path", "schema", "flow"),
    [
        (_user("root", MASTERS), "GET", "/api/v1/pods", "exempt", "exempt"),
        (ANONYMOUS, "GET", "/livez", "probes", "probes"),
        (ANONYMOUS, "GET", "/livez/ping", "global-default", "global-default/system:anonymous"),
        (_user("jane"), "GET", "/api/v1/pods", "global-default", "global-default/jane"),
        (
            _user("system:kube-scheduler"),
            "PUT",
            f"{LEASES}/kube-scheduler",
            "system-leader-election",
            "system-leader-election/system:kube-scheduler",
        ),
        (
            _user("system:kube-scheduler"),
            "POST",
            "/api/v1/namespaces/shop/pods/a/binding",
            "kube-scheduler",
            "kube-scheduler/shop",
        ),
        (
            _user("system:node:n1", "system:nodes"),
            "PATCH",
            "/api/v1/nodes/n1/status",
            "system-node-high",
            "system-node-high/system:node:n1",
        ),
        (
            _user("system:node:n1", "system:nodes"),
            "PATCH",
            "/api/v1/namespaces/shop/pods/a/status",
            "system-nodes",
            "system-nodes/system:node:n1",
        ),
        (
            _account("kube-system", "job-controller"),
            "POST",
            "/api/v1/namespaces/shop/pods",
            "kube-system-service-accounts",
            "kube-system-service-accounts/shop",
        ),
        (
            _account("shop", "app"),
            "GET",
            "/apis/apps/v1/namespaces/shop/deployments",
            "service-accounts",
            "service-accounts/system:serviceaccount:shop:app",
        ),
    ],
)
def test_what_requests_fall_under(user: User, method: str, path: str, schema: str, flow: str) -> None:
    info = Router().parse(method, path)
    found = first_match(SCHEMAS, user, info)
    assert found is not None
    assert (found.metadata.name, flow_of(found, user, info)) == (schema, flow)


def _seats(total: int, wait_seconds: float = 10) -> Seats:
    seats = Seats(total, wait_seconds)
    seats.configure(LEVELS)
    return seats


async def _seated(seats: Seats, level: Level, flow: str, order: list[str]) -> None:
    if (place := seats.take(level, flow)) is not None:
        await seats.wait(level, place)
    order.append(flow)


def _fill(seats: Seats, level: Level, flow: str) -> list[asyncio.Future[None]]:
    """Have one flow take all it can get."""
    waiting: list[asyncio.Future[None]] = []
    for _ in range(2000):
        try:
            place = seats.take(level, flow)
        except Rejected as rejected:
            assert rejected.reason == QUEUE_FULL
            return waiting
        if place is not None:
            waiting.append(place)
    raise AssertionError("nothing ends it")


async def test_what_a_level_does_not_lend_is_free_for_it_at_any_time() -> None:
    seats = _seats(600)
    low, election = seats.levels["workload-low"], seats.levels["leader-election"]
    _fill(seats, low, "flood")
    assert low.executing > low.seats, "idle seats are lent"
    for number in range(election.seats):
        assert seats.take(election, f"leader-{number}") is None
    assert seats.take(seats.levels["exempt"], "root") is None


async def test_a_flood_does_not_keep_another_flow_of_its_level_waiting() -> None:
    seats = _seats(60)
    level = seats.levels["workload-low"]
    flood = _fill(seats, level, "flood")
    order: list[str] = []
    quiet = asyncio.ensure_future(_seated(seats, level, "quiet", order))
    await settle()
    assert not order
    served = 0
    while not order:
        seats.give_back(level)
        served += 1
        await settle()
    await quiet
    assert served <= level.hand + 1 < len(flood)


async def test_seats_return_to_who_waits_until_nobody_does() -> None:
    seats = _seats(30)
    level = seats.levels["global-default"]
    waiting = _fill(seats, level, "jane")
    while any(not place.done() for place in waiting):
        seats.give_back(level)
    assert not seats.borrowing
    while level.executing:
        seats.give_back(level)
    assert seats.take(level, "jane") is None


async def test_a_level_without_queues_rejects() -> None:
    seats = _seats(10)
    level = seats.levels["catch-all"]
    for other in seats.levels.values():
        other.executing = other.seats
    with pytest.raises(Rejected) as rejected:
        seats.take(level, "x")
    assert rejected.value.reason == CONCURRENCY_LIMIT
    assert level.rejected == {CONCURRENCY_LIMIT: 1}


async def test_who_waits_too_long_or_goes_leaves_the_queue() -> None:
    seats = _seats(1, wait_seconds=0)
    level = seats.levels["global-default"]
    assert seats.take(level, "a") is None
    place = seats.take(level, "b")
    assert place is not None
    with pytest.raises(Rejected) as rejected:
        await seats.wait(level, place)
    assert (rejected.value.reason, level.waiting) == (TIME_OUT, 0)

    seats = _seats(1)
    level = seats.levels["global-default"]
    assert seats.take(level, "a") is None
    gone = asyncio.ensure_future(_seated(seats, level, "b", []))
    await settle()
    seats.give_back(level)
    gone.cancel()  # at the very moment it is given a seat
    await asyncio.gather(gone, return_exceptions=True)
    assert (level.executing, level.waiting) == (0, 0)


async def test_a_changed_configuration_keeps_who_waits() -> None:
    seats = _seats(1)
    level = seats.levels["global-default"]
    assert seats.take(level, "a") is None
    place = seats.take(level, "b")
    seats.configure([one for one in LEVELS if one.metadata.name != "global-default"])
    assert seats.levels["global-default"] is level
    seats.give_back(level)
    assert place is not None and place.done()
    seats.give_back(level)
    seats.configure([one for one in LEVELS if one.metadata.name != "global-default"])
    assert "global-default" not in seats.levels
