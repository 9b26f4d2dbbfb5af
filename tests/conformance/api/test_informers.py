"""What informers rely on: streamed lists, metadata only, dynamic clients, and watchers that do not read."""

from __future__ import annotations

import json
from typing import Any

from kubernetes import dynamic
from kubernetes.client import ApiClient

from tests.conformance.api.running import RunningServer
from tests.e2e.cluster import eventually

METADATA = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
MERGE = {"Content-Type": "application/merge-patch+json"}
STREAMED = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"


def maps(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"


def test_a_streamed_list_and_what_follows(server: RunningServer, namespace: str) -> None:
    path = maps(namespace)
    for number in range(300):
        server.raw("POST", path, {"metadata": {"name": f"m{number:03}"}})
    listed = server.raw("GET", path).json
    with server.watch(f"{path}?{STREAMED}") as stream:
        streamed = [stream.next()["object"] for _ in range(300)]
        end = stream.next()
        server.raw("DELETE", f"{path}/m000")
        after = stream.next()
    bare = [{name: value for name, value in obj.items() if name not in ("kind", "apiVersion")} for obj in streamed]
    assert bare == listed["items"]
    assert end["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert int(end["object"]["metadata"]["resourceVersion"]) >= int(listed["metadata"]["resourceVersion"])
    assert after["type"] == "DELETED"


def test_an_informer_of_metadata(server: RunningServer, namespace: str) -> None:
    path = maps(namespace)
    server.raw("POST", path, {"metadata": {"name": "a", "labels": {"l": "1"}}, "data": {"secret": "x"}})
    with server.watch(f"{path}?{STREAMED}", {"Accept": METADATA}) as stream:
        added, end = stream.next(), stream.next()
        server.raw("PATCH", f"{path}/a", {"data": {"secret": "y"}}, MERGE)
        modified = stream.next()
    for event in (added, end, modified):
        assert event["object"]["kind"] == "PartialObjectMetadata" and "data" not in event["object"]
    assert [added["type"], end["type"], modified["type"]] == ["ADDED", "BOOKMARK", "MODIFIED"]


def test_the_dynamic_client(api_client: ApiClient, namespace: str) -> None:
    resources = dynamic.DynamicClient(api_client).resources.get(api_version="v1", kind="ConfigMap")
    body: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "d", "labels": {"l": "1"}}}
    made = resources.create(body=body, namespace=namespace)
    resources.patch(
        body={"metadata": {"name": "d"}, "data": {"k": "v"}},
        namespace=namespace,
        content_type="application/merge-patch+json",
    )
    found = resources.get(namespace=namespace, label_selector="l=1", field_selector="metadata.name=d")
    assert [item.data.k for item in found.items] == ["v"]
    events = []
    since = made.metadata.resourceVersion
    for event in resources.watch(namespace=namespace, resource_version=since, timeout=5):
        events.append((event["type"], event["object"].metadata.name))
        if event["type"] == "DELETED":
            break
        resources.delete(name="d", namespace=namespace)
    assert events == [("MODIFIED", "d"), ("DELETED", "d")]


def test_a_watcher_that_does_not_read_is_cut_off(server: RunningServer, namespace: str) -> None:
    path = maps(namespace)

    async def watchers(running: Any) -> int:
        return len(running.feed.caches["", "configmaps"].watchers)

    server.raw("POST", path, {"metadata": {"name": "big"}})
    before = server.call(watchers)
    connection = server.connection(20)
    connection.request("GET", f"{path}?watch=1&resourceVersion=0")
    response = connection.getresponse()
    assert json.loads(response.readline())["type"] == "ADDED"
    assert server.call(watchers) == before + 1
    written = 0
    for number in range(80):  # 40 MB, and 8 MB is what waits for a stream at most
        server.raw("PATCH", f"{path}/big", {"data": {"x": str(number % 10) * 500_000}}, MERGE)
        written += 500_000
        if server.call(watchers) == before:
            break
    eventually(lambda: server.call(watchers) == before, "the watcher is cut off", 5)
    connection.close()
    # Everybody else goes on.
    with server.watch(f"{path}?watch=1&fieldSelector=metadata.name%3Dbig") as stream:
        assert stream.next()["type"] == "ADDED"
    assert written < 80 * 500_000
