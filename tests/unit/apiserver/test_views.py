"""Kinds served in two forms."""

from __future__ import annotations

from tests.unit.apiserver.harness import Api, settle

CORE = "/api/v1/namespaces/default/events"
NEW = "/apis/events.k8s.io/v1/namespaces/default/events"
V1 = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers"
V2 = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
MERGE = "application/merge-patch+json"


def event(name: str) -> dict[str, object]:
    return {
        "metadata": {"name": name},
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
        "reason": "Started",
        "message": "hello",
        "type": "Normal",
        "source": {"component": "kubelet"},
    }


async def test_events_have_two_names_for_things(api: Api) -> None:
    await api.create(CORE, event("a"))
    shown = await api.get(f"{NEW}/a")
    assert shown["apiVersion"] == "events.k8s.io/v1"
    assert (shown["note"], shown["regarding"]["name"]) == ("hello", "p")
    assert shown["deprecatedSource"] == {"component": "kubelet"}
    listed = await api.get(NEW)
    assert listed["apiVersion"] == "events.k8s.io/v1" and listed["items"][0]["note"] == "hello"


async def test_a_new_event_is_kept_as_the_old_kind(api: Api) -> None:
    body = {
        "metadata": {"name": "b"},
        "eventTime": "2024-01-01T00:00:00.000000Z",
        "reportingController": "x.io/c",
        "reportingInstance": "i",
        "action": "Doing",
        "reason": "Done",
        "regarding": {"kind": "Pod", "name": "p", "namespace": "default"},
        "note": "hi",
        "type": "Normal",
    }
    created = await api.create(NEW, body)
    assert (created["note"], created["reportingController"]) == ("hi", "x.io/c")
    kept = await api.get(f"{CORE}/b")
    assert (kept["message"], kept["reportingComponent"], kept["kind"]) == ("hi", "x.io/c", "Event")
    patched = await api.call("PATCH", f"{NEW}/b", {"series": {"count": 2, "lastObservedTime": None}}, MERGE)
    assert patched.status in (200, 422)


async def test_views_are_watched(api: Api) -> None:
    watch = await api.watch(f"{NEW}?watch=1")
    await api.create(CORE, event("a"))
    await settle()
    ((kind, obj),) = watch.events
    assert (kind, obj["apiVersion"], obj["note"]) == ("ADDED", "events.k8s.io/v1", "hello")


async def test_autoscalers_in_both_versions(api: Api) -> None:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
    created = await api.create(
        V1,
        {
            "metadata": {"name": "h"},
            "spec": {"maxReplicas": 3, "scaleTargetRef": target, "targetCPUUtilizationPercentage": 60},
        },
    )
    assert created["spec"]["targetCPUUtilizationPercentage"] == 60
    newer = await api.get(f"{V2}/h")
    assert newer["spec"]["metrics"][0]["resource"]["target"] == {"type": "Utilization", "averageUtilization": 60}
    memory = {"name": "memory", "target": {"type": "Utilization", "averageUtilization": 70}}
    metrics = [*newer["spec"]["metrics"], {"type": "Resource", "resource": memory}]
    await api.call("PATCH", f"{V2}/h", {"spec": {"metrics": metrics}}, MERGE)
    older = await api.get(f"{V1}/h")
    assert "memory" in older["metadata"]["annotations"]["autoscaling.alpha.kubernetes.io/metrics"]
    # A round trip through the older version loses nothing.
    await api.call("PATCH", f"{V1}/h", {"spec": {"maxReplicas": 9}}, MERGE)
    back = (await api.get(f"{V2}/h"))["spec"]
    assert back["maxReplicas"] == 9 and back["metrics"] == metrics
