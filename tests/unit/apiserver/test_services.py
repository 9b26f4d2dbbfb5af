"""Cluster IPs and node ports."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.unit.apiserver.harness import Api
from tiphys.apiserver.allocators.pools import Full, OutOfRange, Pool, Taken

SERVICES = "/api/v1/namespaces/default/services"
MERGE = "application/merge-patch+json"


def service(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], **spec}}


async def test_addresses_are_given_and_taken_back(api: Api) -> None:
    spec = (await api.create(SERVICES, service("a")))["spec"]
    assert spec["clusterIP"].startswith("10.") and spec["clusterIPs"] == [spec["clusterIP"]]
    taken = await api.call("POST", SERVICES, service("b", clusterIP=spec["clusterIP"]))
    assert taken.status == 422
    assert f"failed to allocate IP {spec['clusterIP']}: provided IP is already allocated" in taken.body["message"]
    await api.call("DELETE", f"{SERVICES}/a")
    assert (await api.call("POST", SERVICES, service("b", clusterIP=spec["clusterIP"]))).status == 201


async def test_the_kubernetes_service_has_the_first_address(api: Api) -> None:
    assert (await api.get(f"{SERVICES}/kubernetes"))["spec"]["clusterIP"] == "10.96.0.1"
    answer = await api.call("POST", SERVICES, service("a", clusterIP="10.96.0.1"))
    assert answer.status == 422


async def test_a_refused_service_gives_everything_back(api: Api) -> None:
    wanted = service("a", clusterIP="10.96.5.5", type="NodePort", ports=[{"port": 1, "nodePort": 99}])
    assert (await api.call("POST", SERVICES, wanted)).status == 422
    assert (await api.call("POST", SERVICES, service("b", clusterIP="10.96.5.5"))).status == 201


async def test_a_dry_run_keeps_no_address(api: Api) -> None:
    wanted = service("a", clusterIP="10.96.5.5")
    assert (await api.call("POST", f"{SERVICES}?dryRun=All", wanted)).status == 201
    assert (await api.call("POST", SERVICES, wanted)).status == 201


async def test_headless_and_external_have_none(api: Api) -> None:
    assert (await api.create(SERVICES, service("a", clusterIP="None")))["spec"]["clusterIPs"] == ["None"]
    external = {"metadata": {"name": "e"}, "spec": {"type": "ExternalName", "externalName": "a.example.com"}}
    assert "clusterIP" not in (await api.create(SERVICES, external))["spec"]


async def test_node_ports_follow_the_type(api: Api) -> None:
    created = await api.create(SERVICES, service("a", type="NodePort"))
    port = created["spec"]["ports"][0]["nodePort"]
    assert 30000 <= port <= 32767
    taken = await api.call("POST", SERVICES, service("b", type="NodePort", ports=[{"port": 1, "nodePort": port}]))
    assert "provided port is already allocated" in taken.body["message"]
    changed = await api.call("PATCH", f"{SERVICES}/a", {"spec": {"type": "ClusterIP"}}, MERGE)
    assert "nodePort" not in changed.body["spec"]["ports"][0]
    again = await api.call("POST", SERVICES, service("b", type="NodePort", ports=[{"port": 1, "nodePort": port}]))
    assert again.status == 201


async def test_two_protocols_share_a_node_port(api: Api) -> None:
    ports = [
        {"name": "u", "port": 53, "protocol": "UDP", "nodePort": 30053},
        {"name": "t", "port": 53, "protocol": "TCP", "nodePort": 30053},
    ]
    assert (await api.call("POST", SERVICES, service("a", type="NodePort", ports=ports))).status == 201


async def test_an_update_keeps_what_was_given(api: Api) -> None:
    created = await api.create(SERVICES, service("a", type="NodePort"))
    bare = {"metadata": {"name": "a"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}}
    updated = (await api.call("PUT", f"{SERVICES}/a", bare)).body
    assert updated["spec"]["clusterIP"] == created["spec"]["clusterIP"]
    assert updated["spec"]["ports"] == created["spec"]["ports"]


def test_a_pool_prefers_its_upper_part_and_gives_all() -> None:
    pool = Pool(1, 20, static=5, rng=random.Random(1))
    given = [pool.choose("o") for _ in range(20)]
    assert min(given[:15]) > 5 and sorted(given) == list(range(1, 21))
    with pytest.raises(Full):
        pool.choose("o")


def test_a_pool_knows_its_owners() -> None:
    pool = Pool(1, 100)
    assert pool.claim(7, "a") and not pool.claim(7, "a")
    with pytest.raises(Taken):
        pool.claim(7, "b")
    with pytest.raises(OutOfRange):
        pool.claim(101, "a")
    pool.release(7, "b")
    assert 7 in pool
    pool.release(7, "a")
    assert 7 not in pool
