"""CustomResourceDefinitions as objects: made, listed, changed, watched and deleted; names, versions, conditions."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.conformance.api.running import Answer, RunningServer
from tests.conformance.customresources.definitions import DEFINITIONS, OPEN, Defined, definition, version

Raw = Callable[..., Answer]
_PATIENCE_SECONDS = 10


def eventually(condition: Callable[[], Any]) -> Any:
    until = time.monotonic() + _PATIENCE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < until, "not in time"
        time.sleep(0.01)
    return found


def test_a_definition_is_made_and_deleted(server: RunningServer) -> None:
    """'[sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] Simple CustomResourceDefinition
    creating/deleting custom resource definition objects works [Conformance]'"""
    made = Defined(server, definition(version("v1"))).established()
    assert made.condition("NamesAccepted")["reason"] == "NoConflicts"
    assert made.condition("Established")["reason"] == "InitialNamesAccepted"
    status = server.raw("GET", made.path).json["status"]
    assert status["storedVersions"] == ["v1"]
    assert status["acceptedNames"]["kind"] == made.kind
    assert server.raw("DELETE", made.path).status == 200
    eventually(lambda: server.raw("GET", made.path).status == 404)
    assert server.raw("GET", made.url("v1")).status == 404


def test_definitions_are_listed_and_deleted_by_label(server: RunningServer) -> None:
    """'[sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] Simple CustomResourceDefinition
    listing custom resource definition objects works [Conformance]'"""
    for _ in range(4):
        body = definition(version("v1"))
        body["metadata"]["labels"] = {"batch": "listed"}
        Defined(server, body).established()
    chosen = f"{DEFINITIONS}?labelSelector=batch%3Dlisted"
    assert len(server.raw("GET", chosen).json["items"]) == 4
    assert server.raw("DELETE", chosen).status == 200
    eventually(lambda: not server.raw("GET", chosen).json["items"])


def test_the_status_is_a_subresource(server: RunningServer) -> None:
    """'[sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] Simple CustomResourceDefinition
    getting/updating/patching custom resource definition status sub-resource works [Conformance]'"""
    made = Defined(server, definition(version("v1"))).established()
    status_path = f"{made.path}/status"
    condition = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "set by a test"}

    def put() -> bool:
        found = server.raw("GET", status_path).json
        found["status"]["conditions"].append(condition)
        return server.raw("PUT", status_path, found).status == 200

    eventually(put)
    assert made.condition("StatusUpdate")["message"] == "set by a test"
    patch = [{"op": "add", "path": "/status/conditions/-", "value": {**condition, "type": "StatusPatched"}}]
    patched = server.raw("PATCH", status_path, patch, {"Content-Type": "application/json-patch+json"})
    assert [c["type"] for c in patched.json["status"]["conditions"]][-2:] == ["StatusUpdate", "StatusPatched"]
    made.delete()


def test_custom_objects_are_watched(server: RunningServer) -> None:
    """'[sig-api-machinery] CustomResourceDefinition Watch [Privileged:ClusterAdmin] CustomResourceDefinition Watch
    watch on custom resource definition objects [Conformance]'"""
    made = Defined(server, definition(version("v1"))).established()
    with server.watch(made.url("v1", tail="?watch=1")) as stream:
        for name in ("a", "b"):
            made.create("v1", name, {"x": 1})
            event = stream.next()
            assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", name)
        merge = {"Content-Type": "application/merge-patch+json"}
        server.raw("PATCH", made.url("v1", "a"), {"spec": {"x": 2}}, merge)
        assert stream.next()["type"] == "MODIFIED"
        server.raw("DELETE", made.url("v1", "b"))
        event = stream.next()
        assert (event["type"], event["object"]["metadata"]["name"]) == ("DELETED", "b")
    made.delete()


def test_defaults_are_filled_in_on_the_way_in_and_from_storage(server: RunningServer) -> None:
    """'[sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] custom resource defaulting for
    requests and from storage works [Conformance]'"""
    made = Defined(server, definition(version("v1", {"type": "object", "properties": {"a": {"type": "string"}}})))
    made.established()
    path = made.url("v1")
    body = {"apiVersion": f"{made.group}/v1", "kind": made.kind}
    old = server.raw("POST", path, {**body, "metadata": {"name": "old"}})
    assert "a" not in old.json
    defaulted = {"type": "object", "properties": {"a": {"type": "string", "default": "A"}, "b": {"type": "string"}}}
    assert (
        made.change([{"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema", "value": defaulted}]).status
        == 200
    )
    eventually(lambda: server.raw("GET", made.url("v1", "old")).json.get("a") == "A")
    assert server.raw("POST", path, {**body, "metadata": {"name": "new"}}).json["a"] == "A"
    assert server.raw("POST", path, {**body, "metadata": {"name": "own"}, "a": "mine"}).json["a"] == "mine"
    listed = {item["metadata"]["name"]: item["a"] for item in server.raw("GET", path).json["items"]}
    assert listed == {"old": "A", "new": "A", "own": "mine"}
    made.delete()


def test_discovery_knows_a_definition_at_once(server: RunningServer) -> None:
    """'[sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] should include custom resource
    definition resources in discovery documents [Conformance]'"""
    groups = {group["name"]: group for group in server.raw("GET", "/apis").json["groups"]}
    assert "apiextensions.k8s.io/v1" in [v["groupVersion"] for v in groups["apiextensions.k8s.io"]["versions"]]
    resources = server.raw("GET", "/apis/apiextensions.k8s.io/v1").json["resources"]
    assert "customresourcedefinitions" in [resource["name"] for resource in resources]
    made = Defined(server, definition(version("v1"), group="discovered.example.com")).established()
    found = eventually(lambda: server.raw("GET", "/apis/discovered.example.com/v1").json.get("resources"))
    assert [resource["name"] for resource in found] == [made.plural]
    made.delete()


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        ("singular", "SingularConflict"),
        ("shortNames", "ShortNamesConflict"),
        ("kind", "KindConflict"),
        ("listKind", "ListKindConflict"),
    ],
)
def test_a_name_is_whose_it_was_first(server: RunningServer, field: str, reason: str) -> None:
    """The second is not served until the first is gone; then it is."""
    group = f"{field.lower()}.example.com"
    first_body, second_body = (definition(version("v1"), group=group) for _ in range(2))
    first_body["spec"]["names"]["shortNames"] = ["shrt"]
    second_body["spec"]["names"][field] = first_body["spec"]["names"][field]
    first = Defined(server, first_body).established()
    second = Defined(server, second_body)
    refused = second.wait("NamesAccepted", "False")
    wanted = first_body["spec"]["names"][field]
    name = wanted[0] if isinstance(wanted, list) else wanted
    assert (refused["reason"], refused["message"]) == (reason, f'"{name}" is already in use')
    assert second.condition("Established") == {
        **second.condition("Established"),
        "status": "False",
        "reason": "NotAccepted",
        "message": "not all names are accepted",
    }
    assert server.raw("GET", second.url("v1")).status == 404
    first.delete()
    second.established()
    assert server.raw("GET", second.url("v1")).status == 200
    second.delete()


def test_a_definition_that_goes_waits_for_its_objects(server: RunningServer) -> None:
    """Nothing is made meanwhile, and the last finalizer that goes lets it go."""
    made = Defined(server, definition(version("v1"))).established()
    assert made.create("v1", "held", {}, finalizers=["example.com/hold"]).status == 201
    made.delete()
    said = made.wait("Terminating", "True")
    assert said["reason"] == "InstanceDeletionInProgress"
    refused = eventually(lambda: (answer := made.create("v1", "late", {})).status == 405 and answer)
    assert refused.message == "create not allowed while custom resource definition is terminating"
    assert made.get("v1", "held").json["metadata"]["deletionTimestamp"]
    release = {"metadata": {"finalizers": None}}
    server.raw("PATCH", made.url("v1", "held"), release, {"Content-Type": "application/merge-patch+json"})
    eventually(lambda: server.raw("GET", made.path).status == 404)


def test_a_stored_version_may_not_be_taken_away(server: RunningServer) -> None:
    made = Defined(server, definition(version("v1"), version("v2"))).established()
    refused = made.change([{"op": "remove", "path": "/spec/versions/0"}, _storing(0)])
    assert refused.status == 422
    causes = refused.json["details"]["causes"]
    assert [cause["field"] for cause in causes] == ["status.storedVersions[0]"]
    assert causes[0]["message"] == 'Invalid value: "v1": must appear in spec.versions'
    made.delete()


def _storing(index: int) -> dict[str, Any]:
    return {"op": "replace", "path": f"/spec/versions/{index}/storage", "value": True}


def test_a_version_that_is_not_served_is_not_found(server: RunningServer) -> None:
    made = Defined(server, definition(version("v1"), version("v2"))).established()
    assert server.raw("GET", made.url("v2")).status == 200
    made.change([{"op": "replace", "path": "/spec/versions/1/served", "value": False}])
    eventually(lambda: server.raw("GET", made.url("v2")).status == 404)
    assert server.raw("GET", made.url("v1")).status == 200
    made.delete()


def test_a_watch_ends_when_its_definition_changes(server: RunningServer) -> None:
    """What it would be sent from then on is of another schema; the client watches again."""
    made = Defined(server, definition(version("v1"))).established()
    with server.watch(made.url("v1", tail="?watch=1")) as stream:
        made.create("v1", "a", {})
        assert stream.next()["type"] == "ADDED"
        columns = [{"name": "X", "type": "string", "jsonPath": ".spec.x"}]
        made.change([{"op": "add", "path": "/spec/versions/0/additionalPrinterColumns", "value": columns}])
        assert stream.rest() == []
    made.delete()


def test_members_that_no_schema_knows_are_kept_at_the_root(server: RunningServer) -> None:
    """A root that preserves unknown fields keeps them, whoever writes what."""
    made = Defined(server, definition(version("v1", OPEN, subresources={"status": {}}))).established()
    body = {**made.body("v1", "one", {"a": 1}), "extra": {"deep": [1, {"b": None}]}, "rest": "own"}
    created = server.raw("POST", made.url("v1", tail="?fieldValidation=Strict"), body)
    assert created.status == 201, created.body
    merge = {"Content-Type": "application/merge-patch+json"}
    server.raw("PATCH", made.url("v1", "one", "/status"), {"status": {"ok": True}}, merge)
    found = server.raw("PATCH", made.url("v1", "one"), {"more": 1}, merge).json
    assert (found["extra"], found["rest"], found["more"]) == ({"deep": [1, {"b": None}]}, "own", 1)
    assert found["status"] == {"ok": True}
    assert found["metadata"]["generation"] == 2
    (listed,) = server.raw("GET", made.url("v1")).json["items"]
    assert listed["extra"] == found["extra"]
    made.delete()
