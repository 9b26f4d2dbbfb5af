"""Flow control's objects say whether their level exists, and what every cluster has of them stays."""

from __future__ import annotations

from typing import Any

from tests.unit.apiserver.harness import Api

FLOW = "/apis/flowcontrol.apiserver.k8s.io/v1"
MERGE = "application/merge-patch+json"


def _schema(level: str) -> dict[str, Any]:
    return {"metadata": {"name": "mine"}, "spec": {"priorityLevelConfiguration": {"name": level}}}


def _level() -> dict[str, Any]:
    return {"metadata": {"name": "lane"}, "spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}}}


async def _dangling(api: Api) -> dict[str, Any]:
    await api.clock.advance(2)
    (condition,) = (await api.get(f"{FLOW}/flowschemas/mine"))["status"]["conditions"]
    assert isinstance(condition, dict)
    return condition


async def test_a_schema_says_whether_its_level_exists(api: Api) -> None:
    await api.create(f"{FLOW}/flowschemas", _schema("lane"))
    missing = await _dangling(api)
    assert (missing["type"], missing["status"], missing["reason"]) == ("Dangling", "True", "NotFound")
    named = 'This FlowSchema references the PriorityLevelConfiguration object named "lane"'
    assert missing["message"] == f"{named} but there is no such object"
    await api.create(f"{FLOW}/prioritylevelconfigurations", _level())
    found = await _dangling(api)
    assert (found["status"], found["reason"], found["message"]) == ("False", "Found", f"{named} and it exists")
    assert found["lastTransitionTime"] > missing["lastTransitionTime"]
    await api.call("DELETE", f"{FLOW}/prioritylevelconfigurations/lane")
    assert (await _dangling(api))["status"] == "True"


async def test_nothing_is_written_while_all_is_said(api: Api) -> None:
    await api.create(f"{FLOW}/flowschemas", _schema("workload-low"))
    await _dangling(api)
    before = (await api.get(f"{FLOW}/flowschemas/mine"))["metadata"]["resourceVersion"]
    await api.call("PATCH", f"{FLOW}/flowschemas/service-accounts", {"metadata": {"labels": {"a": "b"}}}, MERGE)
    await _dangling(api)
    assert (await api.get(f"{FLOW}/flowschemas/mine"))["metadata"]["resourceVersion"] == before


async def test_what_every_cluster_has_is_put_back(api: Api) -> None:
    path = f"{FLOW}/flowschemas/service-accounts"
    before = await api.get(path)
    await api.call("DELETE", path)
    await api.clock.advance(2)
    again = await api.get(path)
    assert again["spec"] == before["spec"] and again["metadata"]["uid"] != before["metadata"]["uid"]
    assert again["status"]["conditions"][0]["status"] == "False"


async def test_its_spec_too_unless_it_is_marked(api: Api) -> None:
    path = f"{FLOW}/prioritylevelconfigurations/workload-low"
    change = {"spec": {"limited": {"nominalConcurrencyShares": 7}}}
    before = await api.get(path)
    assert (await api.call("PATCH", path, change, MERGE)).status == 200
    await api.clock.advance(2)
    assert (await api.get(path))["spec"] == before["spec"]
    mark = {"metadata": {"annotations": {"apf.kubernetes.io/autoupdate-spec": "false"}}}
    assert (await api.call("PATCH", path, change | mark, MERGE)).status == 200
    await api.clock.advance(2)
    assert (await api.get(path))["spec"]["limited"]["nominalConcurrencyShares"] == 7


async def test_an_exempt_level_lends_what_its_owner_says(api: Api) -> None:
    path = f"{FLOW}/prioritylevelconfigurations/exempt"
    change = {"spec": {"exempt": {"nominalConcurrencyShares": 5, "lendablePercent": 50}}}
    assert (await api.call("PATCH", path, change, MERGE)).status == 200
    await api.clock.advance(2)
    assert (await api.get(path))["spec"]["exempt"] == change["spec"]["exempt"]
