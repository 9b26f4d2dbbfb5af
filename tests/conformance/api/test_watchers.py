"""What watchers of ConfigMaps see, through the official client."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kubernetes import client, watch
from kubernetes.client import ApiClient, V1ConfigMap, V1ObjectMeta

from tests.conformance.api.running import RunningServer

LABEL = "watch-this-configmap"


class Seen:
    """The events of one watch, as they come."""

    def __init__(self, api: client.CoreV1Api, namespace: str, **options: Any) -> None:
        self._watch = watch.Watch()
        self._events: Iterator[Any] = self._watch.stream(
            api.list_namespaced_config_map, namespace, timeout_seconds=10, _request_timeout=12, **options
        )

    def next(self) -> tuple[str, str, str, dict[str, str]]:
        """Type, name, resourceVersion and data of the next event."""
        event = next(self._events)
        metadata = event["object"].metadata
        return event["type"], metadata.name, metadata.resource_version, event["object"].data or {}

    def close(self) -> None:
        self._watch.stop()
        self._events.close()  # type: ignore[attr-defined]


@contextmanager
def watching(api: client.CoreV1Api, namespace: str, **options: Any) -> Iterator[Seen]:
    seen = Seen(api, namespace, **options)
    try:
        yield seen
    finally:
        seen.close()


def config_map(name: str, label: str, **data: str) -> V1ConfigMap:
    return V1ConfigMap(metadata=V1ObjectMeta(name=name, labels={LABEL: label}), data=data)


def test_watchers_see_what_their_selectors_match(api_client: ApiClient, namespace: str) -> None:
    """[sig-api-machinery] Watchers should observe add, update, and delete watch notifications on configmaps
    [Conformance]"""
    api = client.CoreV1Api(api_client)
    now = api.list_namespaced_config_map(namespace).metadata.resource_version
    selectors = ("A", "B", "A,B")
    with (
        watching(api, namespace, label_selector=f"{LABEL}=A", resource_version=now) as of_a,
        watching(api, namespace, label_selector=f"{LABEL}=B", resource_version=now) as of_b,
        watching(api, namespace, label_selector=f"{LABEL} in ({selectors[2]})", resource_version=now) as of_both,
    ):
        for name, label in (("a", "A"), ("b", "B")):
            api.create_namespaced_config_map(namespace, config_map(name, label))
            if name == "a":
                for step in ("1", "2"):
                    api.patch_namespaced_config_map(name, namespace, {"data": {"mutation": step}})
            api.delete_namespaced_config_map(name, namespace)
        life_of_a = [of_a.next() for _ in range(4)]
        life_of_b = [of_b.next() for _ in range(2)]
        both = [of_both.next() for _ in range(6)]
    assert [(kind, data) for kind, _, _, data in life_of_a] == [
        ("ADDED", {}),
        ("MODIFIED", {"mutation": "1"}),
        ("MODIFIED", {"mutation": "2"}),
        ("DELETED", {"mutation": "2"}),
    ]
    assert [(kind, name) for kind, name, _, _ in life_of_b] == [("ADDED", "b"), ("DELETED", "b")]
    assert both == life_of_a + life_of_b


def test_a_watch_begins_after_the_version_it_names(api_client: ApiClient, namespace: str) -> None:
    """[sig-api-machinery] Watchers should be able to start watching from a specific resource version [Conformance]"""
    api = client.CoreV1Api(api_client)
    api.create_namespaced_config_map(namespace, config_map("c", "from-resource-version"))
    first = api.patch_namespaced_config_map("c", namespace, {"data": {"mutation": "1"}})
    api.patch_namespaced_config_map("c", namespace, {"data": {"mutation": "2"}})
    api.delete_namespaced_config_map("c", namespace)
    with watching(api, namespace, resource_version=first.metadata.resource_version) as seen:
        events = [seen.next() for _ in range(2)]
    assert [(kind, data) for kind, _, _, data in events] == [
        ("MODIFIED", {"mutation": "2"}),
        ("DELETED", {"mutation": "2"}),
    ]


def test_a_watch_goes_on_where_another_ended(api_client: ApiClient, namespace: str) -> None:
    """[sig-api-machinery] Watchers should be able to restart watching from the last resource version observed by the
    previous watch [Conformance]"""
    api = client.CoreV1Api(api_client)
    now = api.list_namespaced_config_map(namespace).metadata.resource_version
    with watching(api, namespace, resource_version=now) as seen:
        api.create_namespaced_config_map(namespace, config_map("c", "closed-and-restarted"))
        api.patch_namespaced_config_map("c", namespace, {"data": {"mutation": "1"}})
        assert seen.next()[0] == "ADDED"
        kind, _, last, _ = seen.next()
        assert kind == "MODIFIED"
    api.patch_namespaced_config_map("c", namespace, {"data": {"mutation": "2"}})
    with watching(api, namespace, resource_version=last) as seen:
        api.delete_namespaced_config_map("c", namespace)
        events = [seen.next() for _ in range(2)]
    assert [(kind, data["mutation"]) for kind, _, _, data in events] == [("MODIFIED", "2"), ("DELETED", "2")]


def test_what_no_longer_matches_is_deleted(api_client: ApiClient, namespace: str) -> None:
    """[sig-api-machinery] Watchers should observe an object deletion if it stops meeting the requirements of the
    selector [Conformance]"""
    api = client.CoreV1Api(api_client)
    now = api.list_namespaced_config_map(namespace).metadata.resource_version
    with watching(api, namespace, resource_version=now, label_selector=f"{LABEL}=changed") as seen:
        api.create_namespaced_config_map(namespace, config_map("c", "changed"))
        api.patch_namespaced_config_map("c", namespace, {"data": {"mutation": "1"}})
        left = api.patch_namespaced_config_map("c", namespace, {"metadata": {"labels": {LABEL: "wrong"}}})
        api.patch_namespaced_config_map("c", namespace, {"data": {"mutation": "2"}})
        back = api.patch_namespaced_config_map("c", namespace, {"metadata": {"labels": {LABEL: "changed"}}})
        api.patch_namespaced_config_map("c", namespace, {"data": {"mutation": "3"}})
        api.delete_namespaced_config_map("c", namespace)
        events = [seen.next() for _ in range(6)]
    assert [(kind, data.get("mutation", "")) for kind, _, _, data in events] == [
        *(("ADDED", ""), ("MODIFIED", "1"), ("DELETED", "1")),
        *(("ADDED", "2"), ("MODIFIED", "3"), ("DELETED", "3")),
    ]
    # Gone is what last matched, as of the change that took it away.
    assert events[2][2] == left.metadata.resource_version and events[3][2] == back.metadata.resource_version


def test_concurrent_watches_agree(server: RunningServer, api_client: ApiClient, namespace: str) -> None:
    """[sig-api-machinery] Watchers should receive events on concurrent watches in same order [Conformance]"""
    api = client.CoreV1Api(api_client)
    count = 60
    now = api.list_namespaced_config_map(namespace).metadata.resource_version

    def produce() -> None:
        with server.api_client() as own:
            writer = client.CoreV1Api(own)
            for number in range(count // 3):
                name = f"c{number}"
                writer.create_namespaced_config_map(namespace, config_map(name, "same-order"))
                writer.patch_namespaced_config_map(name, namespace, {"data": {"n": str(number)}})
                writer.delete_namespaced_config_map(name, namespace)

    producer = threading.Thread(target=produce)
    watches: list[Seen] = []
    with watching(api, namespace, resource_version=now) as first:
        producer.start()
        try:
            wanted: list[str] = []
            for number in range(count):
                wanted.append(first.next()[2])
                if number % 6 == 0:
                    watches.append(Seen(api, namespace, resource_version=wanted[-1]))
            for index, other in enumerate(watches):
                rest = wanted[index * 6 + 1 :]
                assert [other.next()[2] for _ in rest] == rest
        finally:
            producer.join()
            for other in watches:
                other.close()
    assert wanted == sorted(set(wanted), key=int)
