"""What a ResourceQuota lets in."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.unit.apiserver.harness import Api, pod

PODS = "/api/v1/namespaces/default/pods"
QUOTAS = "/api/v1/namespaces/default/resourcequotas"


async def _limit(api: Api, **spec: Any) -> None:
    await api.create(QUOTAS, {"metadata": {"name": "q"}, "spec": spec})


def _sized(name: str, cpu: str) -> dict[str, Any]:
    return pod(name, containers=[{"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}])


async def test_no_more_pods_than_allowed(api: Api) -> None:
    await _limit(api, hard={"pods": "1"})
    await api.create(PODS, pod("a"))
    answer = await api.call("POST", PODS, pod("b"))
    assert (answer.status, answer.body["message"]) == (
        403,
        'pods "b" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1',
    )
    assert (await api.call("DELETE", f"{PODS}/a")).status == 200
    await api.create(PODS, pod("b"))


async def test_writes_under_way_count(api: Api) -> None:
    await _limit(api, hard={"pods": "3"})
    answers = await asyncio.gather(*(api.call("POST", PODS, pod(f"p{n}")) for n in range(8)))
    assert sorted(answer.status for answer in answers) == [201] * 3 + [403] * 5


async def test_what_did_not_happen_is_given_back(api: Api) -> None:
    await _limit(api, hard={"pods": "2"})
    await api.create(PODS, pod("a"))
    assert (await api.call("POST", PODS, pod("a"))).status == 409
    assert (await api.call("POST", f"{PODS}?dryRun=All", pod("b"))).status == 201
    await api.create(PODS, pod("b"))


async def test_requests_are_added_up_and_must_be_given(api: Api) -> None:
    await _limit(api, hard={"requests.cpu": "1"})
    answer = await api.call("POST", PODS, pod("a"))
    assert answer.body["message"] == 'pods "a" is forbidden: failed quota: q: must specify requests.cpu for: c'
    await api.create(PODS, _sized("a", "600m"))
    answer = await api.call("POST", PODS, _sized("b", "500m"))
    assert answer.body["message"].endswith(
        "exceeded quota: q, requested: requests.cpu=500m, used: requests.cpu=600m, limited: requests.cpu=1"
    )
    await api.create(PODS, _sized("b", "400m"))


async def test_scopes(api: Api) -> None:
    await _limit(api, hard={"pods": "0"}, scopes=["BestEffort"])
    await api.create(PODS, _sized("a", "1m"))
    await api.create("/api/v1/namespaces/default/configmaps", {"metadata": {"name": "a"}})
    assert (await api.call("POST", PODS, pod("b"))).status == 403


async def test_services_grow_by_updates(api: Api) -> None:
    services = "/api/v1/namespaces/default/services"
    await _limit(api, hard={"services.nodeports": "0", "count/configmaps": "1"})
    await api.create(services, {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}})
    stored = (await api.call("GET", f"{services}/s")).body
    stored["spec"]["type"] = "NodePort"
    answer = await api.call("PUT", f"{services}/s", stored)
    assert answer.status == 403 and "requested: services.nodeports=1" in answer.body["message"]
    configmaps = "/api/v1/namespaces/default/configmaps"
    await api.create(configmaps, {"metadata": {"name": "a"}})
    assert (await api.call("POST", configmaps, {"metadata": {"name": "b"}})).status == 403
