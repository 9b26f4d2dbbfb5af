"""Create, read, update and patch of any kind."""

from __future__ import annotations

import base64

import pytest

from tests.unit.apiserver.harness import Api, config_map, pod

CMS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"


async def test_what_is_created_is_what_is_read(api: Api) -> None:
    created = await api.create(CMS, config_map("a", k="v"))
    meta = created["metadata"]
    assert meta["uid"] and meta["creationTimestamp"] == "2023-11-14T22:13:20Z" and int(meta["resourceVersion"]) > 1
    assert await api.get(f"{CMS}/a") == created
    listed = await api.get(CMS)
    assert listed["kind"] == "ConfigMapList" and listed["metadata"]["resourceVersion"] == meta["resourceVersion"]
    # Items of typed lists carry no kind, as upstream's.
    assert [item for item in listed["items"] if item["metadata"]["name"] == "a"] == [
        {name: value for name, value in created.items() if name not in ("kind", "apiVersion")}
    ]


async def test_names_are_taken_once(api: Api) -> None:
    await api.create(CMS, config_map("a"))
    answer = await api.call("POST", CMS, config_map("a"))
    assert (answer.status, answer.body["reason"]) == (409, "AlreadyExists")


async def test_names_are_generated(api: Api) -> None:
    body = {"metadata": {"generateName": "x-"}}
    names = {(await api.create(CMS, body))["metadata"]["name"] for _ in range(3)}
    assert len(names) == 3 and all(name.startswith("x-") and len(name) == 7 for name in names)


async def test_a_dry_run_keeps_nothing(api: Api) -> None:
    answer = await api.call("POST", f"{CMS}?dryRun=All", config_map("a"))
    assert answer.status == 201 and answer.body["metadata"]["uid"]
    assert "resourceVersion" not in answer.body["metadata"]
    assert (await api.call("GET", f"{CMS}/a")).status == 404


async def test_put_replaces(api: Api) -> None:
    created = await api.create(CMS, config_map("a", k="v"))
    answer = await api.call("PUT", f"{CMS}/a", config_map("a", x="y"))
    assert answer.status == 200 and answer.body["data"] == {"x": "y"}
    assert answer.body["metadata"]["uid"] == created["metadata"]["uid"]
    assert int(answer.body["metadata"]["resourceVersion"]) > int(created["metadata"]["resourceVersion"])


async def test_put_of_an_old_version_is_a_conflict(api: Api) -> None:
    old = await api.create(CMS, config_map("a", k="v"))
    await api.call("PUT", f"{CMS}/a", config_map("a", x="y"))
    answer = await api.call("PUT", f"{CMS}/a", old)
    assert (answer.status, answer.body["reason"]) == (409, "Conflict")


async def test_put_that_changes_nothing_writes_nothing(api: Api) -> None:
    created = await api.create(CMS, config_map("a", k="v"))
    answer = await api.call("PUT", f"{CMS}/a", created)
    assert answer.body == created
    assert api.server.feed.revision == int(created["metadata"]["resourceVersion"])


async def test_put_creates_some_kinds_and_not_others(api: Api) -> None:
    leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
    assert (await api.call("PUT", f"{leases}/a", {"metadata": {"name": "a"}})).status == 201
    assert (await api.call("PUT", f"{CMS}/nope", config_map("nope"))).status == 404


async def test_put_needs_the_name_of_the_path(api: Api) -> None:
    await api.create(CMS, config_map("a"))
    answer = await api.call("PUT", f"{CMS}/a", config_map("b"))
    assert (answer.status, answer.body["message"]) == (
        400,
        "the name of the object (b) does not match the name on the URL (a)",
    )


async def test_status_and_spec_are_apart(api: Api) -> None:
    await api.create(PODS, pod("a"))
    status = {"status": {"phase": "Running"}, "spec": {"nodeName": "n"}}
    patched = (await api.call("PATCH", f"{PODS}/a/status", status, MERGE)).body
    assert patched["status"]["phase"] == "Running" and "nodeName" not in patched["spec"]
    again = (await api.call("PATCH", f"{PODS}/a", {"status": {"phase": "Failed"}}, MERGE)).body
    assert again["status"]["phase"] == "Running"


async def test_generation_counts_what_is_asked_for(api: Api) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    body = {"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}
    assert (await api.create(DEPLOYMENTS, body))["metadata"]["generation"] == 1
    scaled = await api.call("PATCH", f"{DEPLOYMENTS}/d", {"spec": {"replicas": 3}}, MERGE)
    assert scaled.body["metadata"]["generation"] == 2
    labelled = await api.call("PATCH", f"{DEPLOYMENTS}/d", {"metadata": {"labels": {"x": "y"}}}, MERGE)
    assert labelled.body["metadata"]["generation"] == 2
    status = await api.call("PATCH", f"{DEPLOYMENTS}/d/status", {"status": {"replicas": 3}}, MERGE)
    assert status.body["metadata"]["generation"] == 2


async def test_owners_of_fields_are_kept(api: Api) -> None:
    await api.create(CMS, config_map("a", k="v"))
    answer = await api.call("PATCH", f"{CMS}/a?fieldManager=other", {"data": {"x": "y"}}, MERGE)
    managers = {entry["manager"]: entry["fieldsV1"] for entry in answer.body["metadata"]["managedFields"]}
    assert managers == {"test": {"f:data": {".": {}, "f:k": {}}}, "other": {"f:data": {"f:x": {}}}}


async def test_apply_creates_and_updates(api: Api) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "s"}, "data": {"a": "1", "b": "2"}}
    target = f"{CMS}/s?fieldManager=m"
    assert (await api.call("PATCH", target, body, "application/apply-patch+yaml")).status == 201
    body["data"] = {"a": "1"}
    answer = await api.call("PATCH", target, body, "application/apply-patch+yaml")
    assert (answer.status, answer.body["data"]) == (200, {"a": "1"})


async def test_a_patch_meets_a_concurrent_write_and_tries_again(api: Api) -> None:
    await api.create(CMS, config_map("a", k="0"))
    first = api.start("PATCH", f"{CMS}/a", {"data": {"x": "1"}}, MERGE)
    second = api.start("PATCH", f"{CMS}/a", {"data": {"y": "2"}}, MERGE)
    assert [(await answer).status for answer in (first, second)] == [200, 200]
    assert (await api.get(f"{CMS}/a"))["data"] == {"k": "0", "x": "1", "y": "2"}


async def test_unknown_fields_warn_or_are_refused(api: Api) -> None:
    body = {**config_map("a"), "bogus": 1}
    warned = await api.call("POST", CMS, body)
    assert (warned.status, warned.warnings) == (201, ['299 - "unknown field \\"bogus\\""'])
    refused = await api.call("POST", f"{CMS}?fieldValidation=Strict", {**body, "metadata": {"name": "b"}})
    assert refused.status == 400 and 'unknown field "bogus"' in refused.body["message"]
    ignored = await api.call("POST", f"{CMS}?fieldValidation=Ignore", {**body, "metadata": {"name": "c"}})
    assert (ignored.status, ignored.warnings) == (201, [])


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("PUT", CMS, 405),
        ("POST", f"{CMS}/a", 405),
        ("POST", "/api/v1/configmaps", 405),
        ("GET", "/api/v1/namespaces/default/gizmos", 404),
        ("GET", f"{PODS}/a/nope", 404),
        ("GET", "/apis/nope/v1/things", 404),
        ("DELETE", "/api/v1/namespaces", 405),
    ],
)
async def test_paths_and_methods_that_are_not(api: Api, method: str, target: str, status: int) -> None:
    answer = await api.call(method, target, {} if method in ("PUT", "POST") else None)
    assert answer.status == status and answer.body["kind"] == "Status"


async def test_unknown_paths_are_plain(api: Api) -> None:
    answer = await api.call("GET", "/nope")
    assert (answer.status, answer.response.body) == (404, b"404 page not found\n")


async def test_yaml_goes_in_and_out(api: Api) -> None:
    text = b"metadata: {name: a, annotations: {day: 2024-01-01}}\ndata: {k: v}\n"
    answer = await api.call("POST", CMS, text, "application/yaml", headers={"accept": "application/yaml"})
    assert answer.response.content_type == "application/yaml" and b"kind: ConfigMap" in answer.response.body


async def test_secrets_take_strings(api: Api) -> None:
    body = {"metadata": {"name": "s"}, "stringData": {"a": "b"}}
    created = await api.create("/api/v1/namespaces/default/secrets", body)
    assert created["data"] == {"a": base64.b64encode(b"b").decode()} and "stringData" not in created


async def test_a_table_is_printed(api: Api) -> None:
    await api.create(PODS, pod("a"))
    accept = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    table = (await api.call("GET", PODS, headers=accept)).body
    assert table["kind"] == "Table" and table["rows"][0]["cells"][:3] == ["a", "0/1", "Pending"]


async def test_metadata_only(api: Api) -> None:
    await api.create(PODS, pod("a"))
    accept = {"accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"}
    listed = (await api.call("GET", PODS, headers=accept)).body
    assert listed["kind"] == "PartialObjectMetadataList"
    assert [sorted(item) for item in listed["items"]] == [["apiVersion", "kind", "metadata"]]


async def test_deprecated_kinds_warn(api: Api) -> None:
    answer = await api.call("GET", "/api/v1/namespaces/default/endpoints")
    assert answer.warnings == ['299 - "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"']
