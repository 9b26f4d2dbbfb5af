"""Services of type LoadBalancer get addresses, keep them, and give them back."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulation.controllers.world import World, world
from tiphys.api.types.core_v1 import Event, Node, NodeAddress, Service, ServicePort, ServiceSpec
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.controllers.config import ControllerManagerConfig
from tiphys.controllers.serviceloadbalancer.reconcile import CLASS, FINALIZER
from tiphys.testing import virtual_time

POOL = ControllerManagerConfig(
    root_ca=b"CA", node_monitor_grace_period_seconds=1e9, load_balancer_cidr="192.168.7.8/31,192.168.7.20-192.168.7.20"
)
NODES = ControllerManagerConfig(root_ca=b"CA", node_monitor_grace_period_seconds=1e9)


async def make(w: World, name: str, **spec: Any) -> Service:
    ports = (ServicePort(port=80, protocol="TCP", target_port=80),)
    wanted = ServiceSpec(type="LoadBalancer", ports=ports, selector={"app": name}, **spec)
    return await w.client.create(Service(metadata=ObjectMeta(name=name, namespace="x"), spec=wanted))


async def addresses(w: World, name: str) -> list[str]:
    service = await w.client.get(Service, name, "x")
    return [i.ip or "" for i in service.status.load_balancer.ingress]


async def reasons(w: World, name: str) -> list[str]:
    events = (await w.client.list(Event, "x")).items
    return [e.reason or "" for e in events if e.involved_object.name == name]


def test_addresses_come_from_the_pool_and_return_to_it() -> None:
    async def scenario() -> None:
        async with world(config=POOL) as w:
            await make(w, "a")
            await w.until(lambda: has(w, "a", ["192.168.7.8"]))
            made = await w.client.get(Service, "a", "x")
            assert FINALIZER in made.metadata.finalizers
            assert made.status.load_balancer.ingress[0].ip_mode == "VIP"
            await make(w, "b", load_balancer_ip="192.168.7.20")
            await w.until(lambda: has(w, "b", ["192.168.7.20"]))
            await make(w, "c", load_balancer_class=CLASS)
            await w.until(lambda: has(w, "c", ["192.168.7.9"]))
            await make(w, "d")
            await w.until(lambda: event(w, "d", "SyncLoadBalancerFailed"))
            assert await addresses(w, "d") == []
            await w.client.delete(Service, "a", "x")
            await w.until(lambda: w.is_gone(Service, "a"))
            await w.until(lambda: has(w, "d", ["192.168.7.8"]), seconds=5)
            await w.until(lambda: event(w, "a", "DeletedLoadBalancer"))
            assert (await reasons(w, "a"))[:2] == ["EnsuringLoadBalancer", "EnsuredLoadBalancer"]

    virtual_time.run(scenario())


def test_another_class_or_type_has_none() -> None:
    async def scenario() -> None:
        async with world(config=POOL) as w:
            await make(w, "other", load_balancer_class="example.com/lb")
            await make(w, "a")
            await w.until(lambda: has(w, "a", ["192.168.7.8"]))
            assert await addresses(w, "other") == []
            await w.client.patch(Service, "a", "x", {"spec": {"type": "ClusterIP"}}, type="merge")
            await w.until(lambda: has(w, "a", []))
            await w.until(lambda: without_finalizer(w, "a"))

    virtual_time.run(scenario())


def test_addresses_survive_a_new_controller_manager() -> None:
    async def scenario() -> None:
        async with world(config=POOL) as w:
            await make(w, "a")
            await make(w, "b")
            await w.until(lambda: has(w, "b", ["192.168.7.9"]))
            await w.kill(w.managers[0])
            await w.client.delete(Service, "a", "x")  # held by its finalizer
            await make(w, "c")
            w.start_manager()
            await w.until(lambda: has(w, "c", ["192.168.7.8"]))
            assert await addresses(w, "b") == ["192.168.7.9"]

    virtual_time.run(scenario())


@pytest.mark.parametrize("seed", range(3))
def test_no_two_services_share_an_address_whatever_is_lost(seed: int) -> None:
    async def scenario() -> None:
        async with world(seed, faults=0.1, config=POOL) as w:
            for name in ("a", "b", "c"):
                await make(w, name)
            await w.until(lambda: all_have(w, "a", "b", "c"))
            found = [address for name in ("a", "b", "c") for address in await addresses(w, name)]
            assert sorted(found) == ["192.168.7.20", "192.168.7.8", "192.168.7.9"]

    virtual_time.run(scenario())


def test_without_a_pool_the_nodes_answer_themselves() -> None:
    async def scenario() -> None:
        async with world(config=NODES) as w:
            for number in (1, 2, 3):
                found = await w.client.get(Node, f"node-{number}")
                found.status.addresses = (NodeAddress(type="InternalIP", address=f"172.20.0.{number}"),)
                await w.client.update_status(found)
            await make(w, "a")
            await w.until(lambda: has(w, "a", ["172.20.0.1", "172.20.0.2", "172.20.0.3"]))
            await make(w, "same-port")
            await w.until(lambda: event(w, "same-port", "SyncLoadBalancerFailed"))
            found = await w.client.get(Node, "node-2")
            found.status.conditions = tuple(
                type(c)(type=c.type, status="Unknown" if c.type == "Ready" else c.status)
                for c in found.status.conditions
            )
            await w.client.update_status(found)
            await w.until(lambda: has(w, "a", ["172.20.0.1", "172.20.0.3"]))
            await w.client.delete(Service, "a", "x")
            await w.until(lambda: has(w, "same-port", ["172.20.0.1", "172.20.0.3"]))

    virtual_time.run(scenario())


async def has(w: World, name: str, wanted: list[str]) -> bool:
    return await addresses(w, name) == wanted


async def all_have(w: World, *names: str) -> bool:
    return all([await addresses(w, name) for name in names])


async def event(w: World, name: str, reason: str) -> bool:
    return reason in await reasons(w, name)


async def without_finalizer(w: World, name: str) -> bool:
    return FINALIZER not in (await w.client.get(Service, name, "x")).metadata.finalizers
