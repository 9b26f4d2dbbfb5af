"""Events, through the core API and events.k8s.io: one thing in two forms."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from kubernetes import client
from kubernetes.client import ApiClient, ApiException

from tests.conformance.api.running import Answer, RunningServer

WHEN = datetime(2017, 9, 19, 13, 49, 16, 123456, UTC)
TIME = "2017-09-19T13:49:16.123456Z"
MERGE = {"Content-Type": "application/merge-patch+json"}


def core_event(namespace: str, name: str) -> client.CoreV1Event:
    return client.CoreV1Event(
        metadata=client.V1ObjectMeta(name=name, labels={"testevent-set": "true"}),
        message=f"This is {name}",
        reason="Test",
        type="Normal",
        count=1,
        involved_object=client.V1ObjectReference(namespace=namespace, kind="Pod", name="x"),
    )


def new_event(namespace: str, name: str) -> client.EventsV1Event:
    return client.EventsV1Event(
        metadata=client.V1ObjectMeta(name=name, labels={"testevent-constant": "true"}),
        regarding=client.V1ObjectReference(namespace=namespace),
        note=f"This is {name}",
        type="Normal",
        event_time=WHEN,
        reason="Test",
        action="Do",
        reporting_controller="test-controller",
        reporting_instance="test-node",
    )


def test_the_life_of_an_event(api_client: ApiClient, namespace: str) -> None:
    """[sig-instrumentation] Events should manage the lifecycle of an event [Conformance]"""
    api = client.CoreV1Api(api_client)
    api.create_namespaced_event(namespace, core_event(namespace, "one"))
    listed = api.list_event_for_all_namespaces(label_selector="testevent-set=true").items
    assert [(item.metadata.name, item.metadata.namespace) for item in listed] == [("one", namespace)]
    api.patch_namespaced_event("one", namespace, {"message": "This is a test event - patched"})
    event = api.read_namespaced_event("one", namespace)
    assert event.message == "This is a test event - patched"
    event.series = client.CoreV1EventSeries(count=100, last_observed_time=WHEN)
    assert api.replace_namespaced_event("one", namespace, event).series.count == 100
    assert api.read_namespaced_event("one", namespace).series.last_observed_time == WHEN
    api.delete_namespaced_event("one", namespace)
    assert api.list_event_for_all_namespaces(label_selector="testevent-set=true").items == []


def test_a_collection_of_events_is_deleted(api_client: ApiClient, namespace: str) -> None:
    """[sig-instrumentation] Events should delete a collection of events [Conformance]"""
    api = client.CoreV1Api(api_client)
    names = ["test-event-1", "test-event-2", "test-event-3"]
    for name in names:
        api.create_namespaced_event(namespace, core_event(namespace, name))
    api.create_namespaced_event(namespace, {**_plain(namespace), "metadata": {"name": "other"}})
    listed = api.list_namespaced_event(namespace, label_selector="testevent-set=true").items
    assert [item.metadata.name for item in listed] == names
    api.delete_collection_namespaced_event(namespace, label_selector="testevent-set=true")
    assert [item.metadata.name for item in api.list_namespaced_event(namespace).items] == ["other"]


def test_an_event_is_fetched_patched_deleted_and_listed(api_client: ApiClient, namespace: str) -> None:
    """[sig-instrumentation] Events API should ensure that an event can be fetched, patched, deleted, and listed
    [Conformance]"""
    api, core = client.EventsV1Api(api_client), client.CoreV1Api(api_client)
    api.create_namespaced_event(namespace, new_event(namespace, "event-test"))
    everywhere = api.list_event_for_all_namespaces(label_selector="testevent-constant=true")
    for listed in (api.list_namespaced_event(namespace), everywhere):
        assert "event-test" in [item.metadata.name for item in listed.items]
    selected = api.list_namespaced_event(namespace, field_selector="reportingController=test-controller").items
    assert [item.metadata.name for item in selected] == ["event-test"]
    fetched = api.read_namespaced_event("event-test", namespace)
    assert fetched.event_time == WHEN and fetched.note == "This is event-test"
    series = {"series": {"count": 2, "lastObservedTime": TIME}}
    api.patch_namespaced_event("event-test", namespace, series)
    fetched = api.read_namespaced_event("event-test", namespace)
    assert (fetched.series.count, fetched.series.last_observed_time) == (2, WHEN)
    fetched.series.count = 100
    api.replace_namespaced_event("event-test", namespace, fetched)
    as_core = core.read_namespaced_event("event-test", namespace)
    assert (as_core.series.count, as_core.message, as_core.reporting_component) == (
        *(100, "This is event-test"),
        "test-controller",
    )
    api.delete_namespaced_event("event-test", namespace)
    for events in (api, core):
        with pytest.raises(ApiException) as missing:
            events.read_namespaced_event("event-test", namespace)
        assert missing.value.status == 404
    assert api.list_namespaced_event(namespace).items == []


def test_a_collection_of_new_events_is_deleted(server: RunningServer, api_client: ApiClient, namespace: str) -> None:
    """[sig-instrumentation] Events API should delete a collection of events [Conformance]"""
    api = client.EventsV1Api(api_client)
    names = ["test-event-1", "test-event-2", "test-event-3"]
    for name in names:
        api.create_namespaced_event(namespace, new_event(namespace, name))
    listed = api.list_namespaced_event(namespace, label_selector="testevent-constant=true").items
    assert [item.metadata.name for item in listed] == names
    path = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events?labelSelector=testevent-constant%3Dtrue"
    answered = server.raw("DELETE", path).json
    assert (answered["kind"], answered["apiVersion"]) == ("EventList", "events.k8s.io/v1")
    assert answered["items"][0]["note"] == "This is test-event-1"
    assert api.list_namespaced_event(namespace).items == []


def _plain(namespace: str, **more: Any) -> dict[str, Any]:
    return {"involvedObject": {"namespace": namespace, "kind": "Pod", "name": "x"}, "reason": "R", **more}


def _told(namespace: str, **more: Any) -> dict[str, Any]:
    """A good event of events.k8s.io."""
    return {
        "metadata": {"name": "told"},
        "regarding": {"namespace": namespace, "kind": "Pod", "name": "x"},
        "eventTime": TIME,
        "reportingController": "example.com/tester",
        "reportingInstance": "here",
        "action": "Do",
        "reason": "Because",
        "type": "Normal",
        **more,
    }


def _causes(answer: Answer) -> list[str]:
    assert answer.status == 422, answer.body
    return [f"{cause['field']}: {cause['message']}" for cause in answer.json["details"]["causes"]]


AT_MOST = 'Invalid value: "": can have at most {} characters'
UNSET = 'Invalid value: "": needs to be unset'
NEW_REFUSED: list[tuple[dict[str, Any], list[str]]] = [
    ({"eventTime": None}, ["eventTime: Required value"]),
    ({"type": "Odd"}, ['type: Invalid value: "": has invalid value: Odd']),
    ({"type": None}, ['type: Invalid value: "": has invalid value: ']),
    ({"action": ""}, ["action: Required value"]),
    ({"reason": ""}, ["reason: Required value"]),
    ({"reportingInstance": ""}, ["reportingInstance: Required value"]),
    ({"action": "x" * 129}, [f"action: {AT_MOST.format(128)}"]),
    ({"reason": "x" * 129}, [f"reason: {AT_MOST.format(128)}"]),
    ({"reportingInstance": "x" * 129}, [f"reportingInstance: {AT_MOST.format(128)}"]),
    ({"note": "x" * 1025}, [f"message: {AT_MOST.format(1024)}"]),
    ({"note": "x" * 1024}, []),
    ({"series": {"count": 1, "lastObservedTime": TIME}}, ['series.count: Invalid value: "": should be at least 2']),
    ({"series": {"count": 2, "lastObservedTime": None}}, ["series.lastObservedTime: Required value"]),
    ({"deprecatedCount": 1}, [f"count: {UNSET}"]),
    ({"deprecatedFirstTimestamp": "2020-01-01T00:00:00Z"}, [f"firstTimestamp: {UNSET}"]),
    ({"deprecatedLastTimestamp": "2020-01-01T00:00:00Z"}, [f"lastTimestamp: {UNSET}"]),
    ({"deprecatedSource": {"host": "h"}}, [f"source: {UNSET}"]),
    ({"regarding": {}}, ['involvedObject.namespace: Invalid value: "": does not match event.namespace']),
    ({"regarding": {"namespace": "elsewhere"}}, []),  # with a time, only events about nothing here are refused
]


@pytest.mark.parametrize(("change", "wanted"), NEW_REFUSED, ids=[str(row[0])[:40] for row in NEW_REFUSED])
def test_new_events_are_checked(
    server: RunningServer, namespace: str, change: dict[str, Any], wanted: list[str]
) -> None:
    path = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"
    answer = server.raw("POST", path, _told(namespace, **change))
    assert (_causes(answer) if wanted else [answer.status]) == (wanted or [201])
    if wanted:
        assert answer.json["message"].startswith('Event "told" is invalid: ')


def test_new_events_without_a_reporter(server: RunningServer, namespace: str) -> None:
    path = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"
    found = _causes(server.raw("POST", path, _told(namespace, reportingController="")))
    assert found[0] == "reportingController: Required value" and len(found) > 1
    (bad,) = _causes(server.raw("POST", path, _told(namespace, reportingController="no good")))
    assert bad.startswith('reportingController: Invalid value: "no good": name part must consist of')


CORE: list[tuple[dict[str, Any], list[str]]] = [
    ({}, []),
    ({"type": "Odd", "count": 7, "firstTimestamp": "2020-01-01T00:00:00Z"}, []),
    ({"series": {"count": 1}}, []),
    (
        {"involvedObject": {"namespace": "elsewhere"}},
        ['involvedObject.namespace: Invalid value: "elsewhere": does not match event.namespace'],
    ),
    (
        {"involvedObject": {"kind": "Node"}},
        ['involvedObject.namespace: Invalid value: "": does not match event.namespace'],
    ),
    (
        {"eventTime": TIME, "reportingComponent": "tester"},
        ["reportingInstance: Required value", "action: Required value"],
    ),
    ({"eventTime": TIME, "reportingComponent": "t", "reportingInstance": "i", "action": "a"}, []),
]


@pytest.mark.parametrize(("change", "wanted"), CORE, ids=[str(row[0])[:40] for row in CORE])
def test_core_events_are_checked(
    server: RunningServer, namespace: str, change: dict[str, Any], wanted: list[str]
) -> None:
    body = {"metadata": {"name": "plain"}, **_plain(namespace), **change}
    answer = server.raw("POST", f"/api/v1/namespaces/{namespace}/events", body)
    assert (_causes(answer) if wanted else [answer.status]) == (wanted or [201])


IMMUTABLE = [
    ("note", "x", "message"),
    ("reason", "x", "reason"),
    ("type", "Warning", "type"),
    ("action", "x", "action"),
    ("eventTime", "2018-01-01T00:00:00.000000Z", "eventTime"),
    ("reportingController", "x", "reportingController"),
    ("reportingInstance", "x", "reportingInstance"),
    ("related", {"kind": "Pod"}, "related"),
    ("deprecatedCount", 3, "count"),
]


@pytest.mark.parametrize(("field", "value", "told"), IMMUTABLE)
def test_what_was_said_stays(server: RunningServer, namespace: str, field: str, value: Any, told: str) -> None:
    path = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"
    assert server.raw("POST", path, _told(namespace, note="n")).status == 201
    (cause,) = _causes(server.raw("PATCH", f"{path}/told", {field: value}, MERGE))
    assert cause.startswith(f"{told}: Invalid value: ") and cause.endswith(": field is immutable")


def test_the_core_api_may_say_it_anew(server: RunningServer, namespace: str) -> None:
    server.raw("POST", f"/apis/events.k8s.io/v1/namespaces/{namespace}/events", _told(namespace))
    path = f"/api/v1/namespaces/{namespace}/events/told"
    answer = server.raw("PATCH", path, {"message": "other", "type": "Warning", "count": 2}, MERGE)
    assert (answer.status, answer.json["message"], answer.json["count"]) == (200, "other", 2)


def test_both_are_watched_in_their_own_form(server: RunningServer, namespace: str) -> None:
    core, new = (f"{root}/namespaces/{namespace}/events" for root in ("/api/v1", "/apis/events.k8s.io/v1"))
    with server.watch(f"{core}?watch=1") as of_core, server.watch(f"{new}?watch=1") as of_new:
        server.raw("POST", new, _told(namespace, note="n"))
        first, second = of_core.next()["object"], of_new.next()["object"]
    assert (first["apiVersion"], first["message"]) == ("v1", "n")
    assert (second["apiVersion"], second["note"]) == ("events.k8s.io/v1", "n")
    assert first["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]
