"""Deletion: preconditions, grace, finalizers, propagation, collections."""

from __future__ import annotations

from typing import Any

from tests.unit.apiserver.harness import Api, config_map, pod

CMS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
MERGE = "application/merge-patch+json"


async def bound_pod(api: Api, name: str = "a", **spec: Any) -> None:
    await api.create(PODS, pod(name, nodeName="n", **spec))


async def test_the_answer_is_a_status_or_the_object(api: Api) -> None:
    created = await api.create(CMS, config_map("a"))
    answer = await api.call("DELETE", f"{CMS}/a")
    assert answer.body["status"] == "Success"
    assert answer.body["details"] == {"name": "a", "kind": "configmaps", "uid": created["metadata"]["uid"]}
    await api.create(PODS, pod("p"))
    assert (await api.call("DELETE", f"{PODS}/p")).body["kind"] == "Pod"
    assert (await api.call("GET", f"{PODS}/p")).status == 404


async def test_preconditions(api: Api) -> None:
    created = await api.create(CMS, config_map("a"))
    wrong = await api.call("DELETE", f"{CMS}/a", {"preconditions": {"uid": "x"}})
    assert (wrong.status, wrong.body["reason"]) == (409, "Conflict")
    stale = await api.call("DELETE", f"{CMS}/a", {"preconditions": {"resourceVersion": "1"}})
    assert stale.status == 409
    right = {"uid": created["metadata"]["uid"], "resourceVersion": created["metadata"]["resourceVersion"]}
    assert (await api.call("DELETE", f"{CMS}/a", {"preconditions": right})).status == 200


async def test_a_running_pod_gets_its_grace(api: Api) -> None:
    await bound_pod(api, terminationGracePeriodSeconds=20)
    meta = (await api.call("DELETE", f"{PODS}/a")).body["metadata"]
    assert (meta["deletionGracePeriodSeconds"], meta["deletionTimestamp"]) == (20, "2023-11-14T22:13:40Z")
    assert meta["generation"] == 2
    again = (await api.call("DELETE", f"{PODS}/a")).body["metadata"]
    assert again["resourceVersion"] == meta["resourceVersion"]


async def test_grace_can_only_get_shorter(api: Api) -> None:
    await bound_pod(api)
    await api.call("DELETE", f"{PODS}/a")
    longer = (await api.call("DELETE", f"{PODS}/a?gracePeriodSeconds=99")).body["metadata"]
    assert longer["deletionGracePeriodSeconds"] == 30
    shorter = (await api.call("DELETE", f"{PODS}/a?gracePeriodSeconds=5")).body["metadata"]
    assert (shorter["deletionGracePeriodSeconds"], shorter["deletionTimestamp"]) == (5, "2023-11-14T22:13:25Z")


async def test_the_kubelet_confirms_with_no_grace(api: Api) -> None:
    await bound_pod(api)
    await api.call("DELETE", f"{PODS}/a")
    assert (await api.call("DELETE", f"{PODS}/a", {"gracePeriodSeconds": 0})).status == 200
    assert (await api.call("GET", f"{PODS}/a")).status == 404


async def test_pods_that_run_nowhere_go_at_once(api: Api) -> None:
    await api.create(PODS, pod("a"))
    await api.call("DELETE", f"{PODS}/a")
    assert (await api.call("GET", f"{PODS}/a")).status == 404
    await bound_pod(api, "b")
    await api.call("PATCH", f"{PODS}/b/status", {"status": {"phase": "Succeeded"}}, MERGE)
    await api.call("DELETE", f"{PODS}/b")
    assert (await api.call("GET", f"{PODS}/b")).status == 404


async def test_finalizers_hold_an_object(api: Api) -> None:
    await api.create(CMS, {"metadata": {"name": "a", "finalizers": ["x.io/f"]}})
    held = (await api.call("DELETE", f"{CMS}/a")).body
    assert held["kind"] == "ConfigMap" and held["metadata"]["deletionTimestamp"]
    assert held["metadata"]["deletionGracePeriodSeconds"] == 0
    freed = await api.call("PATCH", f"{CMS}/a", {"metadata": {"finalizers": None}}, MERGE)
    assert freed.status == 200
    assert (await api.call("GET", f"{CMS}/a")).status == 404


async def test_propagation_policies_are_finalizers(api: Api) -> None:
    for policy, finalizer in (("Orphan", "orphan"), ("Foreground", "foregroundDeletion")):
        await api.create(CMS, config_map(policy.lower()))
        answer = await api.call("DELETE", f"{CMS}/{policy.lower()}", {"propagationPolicy": policy})
        assert answer.body["metadata"]["finalizers"] == [finalizer]
    gone = await api.call("DELETE", f"{CMS}/foreground", {"propagationPolicy": "Background"})
    assert gone.body["status"] == "Success"


async def test_jobs_orphan_their_pods_unless_told(api: Api) -> None:
    jobs = "/apis/batch/v1/namespaces/default/jobs"
    template = {"spec": {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"}}
    await api.create(jobs, {"metadata": {"name": "j"}, "spec": {"template": template}})
    answer = await api.call("DELETE", f"{jobs}/j")
    assert answer.body["metadata"]["finalizers"] == ["orphan"] and "child pods are preserved" in answer.warnings[0]


async def test_collections_are_deleted_by_selector(api: Api) -> None:
    for name, label in (("a", "x"), ("b", "x"), ("c", "y")):
        await api.create(CMS, {"metadata": {"name": name, "labels": {"l": label}}})
    answer = await api.call("DELETE", f"{CMS}?labelSelector=l%3Dx")
    assert [item["metadata"]["name"] for item in answer.body["items"]] == ["a", "b"]
    assert [item["metadata"]["name"] for item in (await api.get(CMS))["items"]] == ["c"]


async def test_a_namespace_ends_when_it_is_finalized(api: Api) -> None:
    await api.create("/api/v1/namespaces", {"metadata": {"name": "n"}})
    ending = (await api.call("DELETE", "/api/v1/namespaces/n")).body
    assert ending["status"]["phase"] == "Terminating" and ending["metadata"]["deletionTimestamp"]
    refused = await api.call("POST", "/api/v1/namespaces/n/configmaps", config_map("a"))
    assert refused.status == 403
    assert refused.body["details"]["causes"][0]["reason"] == "NamespaceTerminating"
    ending["spec"]["finalizers"] = []
    assert (await api.call("PUT", "/api/v1/namespaces/n/finalize", ending)).status == 200
    assert (await api.call("GET", "/api/v1/namespaces/n")).status == 404


async def test_a_dry_run_deletes_nothing(api: Api) -> None:
    await api.create(CMS, config_map("a"))
    assert (await api.call("DELETE", f"{CMS}/a?dryRun=All")).status == 200
    assert (await api.call("GET", f"{CMS}/a")).status == 200
