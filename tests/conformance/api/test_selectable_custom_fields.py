"""Custom resources selected by the fields their definition names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.api.running import RunningServer
from tests.e2e.cluster import eventually

GROUP = "fields.example.com"
FIELDS = ("color", "size", "on")


def version(name: str, *fields: str, storage: bool = False) -> dict[str, Any]:
    properties = {"color": {"type": "string"}, "size": {"type": "integer"}, "on": {"type": "boolean"}}
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}}
    return {
        "name": name,
        "served": True,
        "storage": storage,
        "schema": {"openAPIV3Schema": schema},
        "selectableFields": [{"jsonPath": f".spec.{field}"} for field in fields],
    }


@pytest.fixture(scope="module")
def shirts(server: RunningServer) -> Iterator[str]:
    """The path of the shirts of a namespace, without the version."""
    names = {"plural": "shirts", "singular": "shirt", "kind": "Shirt"}
    versions = [version("v1", *FIELDS, storage=True), version("v2", "color")]
    spec = {"group": GROUP, "scope": "Namespaced", "names": names, "versions": versions}
    body = {"metadata": {"name": f"shirts.{GROUP}"}, "spec": spec}
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    answer = server.raw("POST", definitions, body)
    assert answer.status == 201, answer.body
    path = f"/apis/{GROUP}/{{}}/namespaces/default/shirts"
    eventually(lambda: server.raw("GET", path.format("v2")).status == 200, "shirts are served", 5)
    for name, spec in (
        ("s1", {"color": "blue", "size": 1, "on": True}),
        ("s2", {"color": "blue", "size": 2, "on": False}),
        ("s3", {"color": "green"}),
    ):
        made = server.raw("POST", path.format("v1"), _shirt(name, spec))
        assert made.status == 201, made.body
    yield path
    server.raw("DELETE", f"{definitions}/shirts.{GROUP}")


def _shirt(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": f"{GROUP}/v1", "kind": "Shirt", "metadata": {"name": name}, "spec": spec}


@pytest.mark.parametrize(
    ("served", "selector", "expected"),
    [
        ("v1", "spec.color=blue", ["s1", "s2"]),
        ("v1", "spec.color!=blue", ["s3"]),
        ("v1", "spec.color=blue,spec.size=2", ["s2"]),
        ("v1", "spec.on=true", ["s1"]),
        ("v1", "spec.on=", ["s3"]),
        ("v1", "spec.size!=1,metadata.name!=s3", ["s2"]),
        ("v2", "spec.color=green", ["s3"]),
    ],
)
def test_selected(server: RunningServer, shirts: str, served: str, selector: str, expected: list[str]) -> None:
    path = f"{shirts.format(served)}?fieldSelector={selector.replace('=', '%3D').replace(',', '%2C')}"
    listed = server.raw("GET", path)
    assert listed.status == 200, listed.body
    assert [item["metadata"]["name"] for item in listed.json["items"]] == expected
    with server.watch(f"{path}&watch=1") as stream:
        assert [stream.next()["object"]["metadata"]["name"] for _ in expected] == expected


def test_selected_by_what_this_version_names(server: RunningServer, shirts: str) -> None:
    answer = server.raw("GET", f"{shirts.format('v2')}?fieldSelector=spec.size%3D1")
    assert (answer.status, answer.message) == (400, "field label not supported: spec.size")


def test_a_change_makes_it_come_and_go(server: RunningServer, shirts: str) -> None:
    path = shirts.format("v1")
    since = server.raw("GET", path).json["metadata"]["resourceVersion"]
    merge = {"Content-Type": "application/merge-patch+json"}
    with server.watch(f"{path}?watch=1&resourceVersion={since}&fieldSelector=spec.color%3Dgreen") as stream:
        for color in ("blue", "green"):
            server.raw("PATCH", f"{path}/s3", {"spec": {"color": color}}, merge)
        events = [stream.next() for _ in range(2)]
    assert [(event["type"], event["object"]["spec"]["color"]) for event in events] == [
        ("DELETED", "green"),
        ("ADDED", "green"),
    ]


def test_kubectl_selects(server: RunningServer, shirts: str) -> None:
    shown = server.kubectl("get", "shirts", "--field-selector", "spec.color=blue", "-o", "name").stdout.split()
    assert shown == [f"shirt.{GROUP}/s1", f"shirt.{GROUP}/s2"]
