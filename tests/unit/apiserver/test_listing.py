"""LIST: selectors, resource versions, pages."""

from __future__ import annotations

import pytest

from tests.unit.apiserver.harness import Api, config_map, pod

CMS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"


async def names(api: Api, target: str) -> list[str]:
    return [item["metadata"]["name"] for item in (await api.get(target))["items"]]


async def fill(api: Api, count: int) -> None:
    for number in range(count):
        await api.create(CMS, {"metadata": {"name": f"c{number}", "labels": {"even": str(number % 2 == 0)}}})


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("tier%3Dweb", ["a", "b"]),
        ("tier in (web),env!=prod", ["b"]),
        ("!env", ["b", "c"]),
        ("env", ["a"]),
        ("tier notin (web)", ["c"]),
    ],
)
async def test_label_selectors(api: Api, selector: str, expected: list[str]) -> None:
    for name, labels in (("a", {"tier": "web", "env": "prod"}), ("b", {"tier": "web"}), ("c", {"tier": "db"})):
        await api.create(CMS, {"metadata": {"name": name, "labels": labels}})
    target = f"{CMS}?labelSelector={selector}".replace(" ", "+")
    assert [name for name in await names(api, target) if name in "abc"] == expected


async def test_indexed_labels_follow_changes(api: Api) -> None:
    await fill(api, 70)
    target = f"{CMS}?labelSelector=even%3DTrue"
    assert len(await names(api, target)) == 35
    merge = "application/merge-patch+json"
    await api.call("PATCH", f"{CMS}/c1", {"metadata": {"labels": {"even": "True"}}}, merge)
    await api.call("DELETE", f"{CMS}/c0")
    found = await names(api, target)
    assert len(found) == 35 and "c1" in found and "c0" not in found


async def test_field_selectors(api: Api) -> None:
    await api.create(PODS, pod("a", nodeName="n1"))
    await api.create(PODS, pod("b", nodeName="n2"))
    await api.create(PODS, pod("c"))
    assert await names(api, f"{PODS}?fieldSelector=spec.nodeName%3Dn1") == ["a"]
    assert await names(api, f"{PODS}?fieldSelector=spec.nodeName%3D") == ["c"]
    assert await names(api, f"{PODS}?fieldSelector=spec.nodeName!%3Dn1,metadata.name!%3Dc") == ["b"]
    assert await names(api, f"{PODS}?fieldSelector=metadata.name%3Db") == ["b"]
    assert await names(api, "/api/v1/pods?fieldSelector=status.phase%3DPending,metadata.namespace%3Ddefault") == [
        *("a", "b", "c")
    ]


async def test_an_unknown_field_is_refused(api: Api) -> None:
    answer = await api.call("GET", f"{PODS}?fieldSelector=spec.nope%3D1")
    assert (answer.status, answer.body["message"]) == (400, "field label not supported: spec.nope")


async def test_pages_show_one_moment(api: Api) -> None:
    await fill(api, 5)
    first = await api.get(f"{CMS}?limit=2")
    token = first["metadata"]["continue"]
    await api.create(CMS, config_map("c1a"))
    await api.call("DELETE", f"{CMS}/c4")
    second = await api.get(f"{CMS}?limit=2&continue={token}")
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    third = await api.get(f"{CMS}?limit=2&continue={second['metadata']['continue']}")
    seen = [item["metadata"]["name"] for page in (first, second, third) for item in page["items"]]
    assert seen == ["c0", "c1", "c2", "c3", "c4"]
    assert first["metadata"]["remainingItemCount"] == 3 and "continue" not in third["metadata"]


async def test_a_token_expires_with_its_revision(api: Api) -> None:
    await fill(api, 3)
    token = (await api.get(f"{CMS}?limit=1"))["metadata"]["continue"]
    await api.create(CMS, config_map("x"))
    await api.server.context.backend.compact(api.server.feed.revision)
    answer = await api.call("GET", f"{CMS}?limit=1&continue={token}")
    assert (answer.status, answer.body["reason"]) == (410, "Expired")
    later = answer.body["metadata"]["continue"]
    assert (await names(api, f"{CMS}?continue={later}"))[0] == "c1"


async def test_an_exact_revision_shows_the_past(api: Api) -> None:
    created = await api.create(CMS, config_map("a"))
    await api.call("DELETE", f"{CMS}/a")
    revision = created["metadata"]["resourceVersion"]
    past = await api.get(f"{CMS}?resourceVersion={revision}&resourceVersionMatch=Exact")
    assert [item["metadata"]["name"] for item in past["items"]] == ["a"]
    assert past["metadata"]["resourceVersion"] == revision
    assert await names(api, CMS) == []


async def test_a_list_is_not_older_than_asked(api: Api) -> None:
    created = await api.create(CMS, config_map("a"))
    revision = created["metadata"]["resourceVersion"]
    for match in ("", "&resourceVersionMatch=NotOlderThan"):
        assert await names(api, f"{CMS}?resourceVersion={revision}{match}") == ["a"]
    assert await names(api, f"{CMS}?resourceVersion=0") == ["a"]


async def test_bad_tokens_and_options(api: Api) -> None:
    assert (await api.call("GET", f"{CMS}?continue=xyz")).status == 400
    assert (await api.call("GET", f"{CMS}?limit=x")).status == 400
    assert (await api.call("GET", f"{CMS}?resourceVersionMatch=Exact")).status == 422
    assert (await api.call("GET", f"{CMS}?sendInitialEvents=true")).status == 422
