"""Custom resources in several versions: converted by a webhook, or by name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.api.running import RunningServer
from tests.conformance.customresources.definitions import Defined, definition, version
from tests.conformance.customresources.webhook import Splitter, splitter

MERGE = {"Content-Type": "application/merge-patch+json"}
APPLY = {"Content-Type": "application/apply-patch+yaml"}


@pytest.fixture
def webhook(server: RunningServer) -> Iterator[Splitter]:
    with splitter(server) as made:
        yield made


@pytest.fixture
def cogs(server: RunningServer, namespace: str, webhook: Splitter) -> Iterator[Defined]:
    """A kind with v1 (kept) and v2, converted by `webhook`."""
    made = Defined(server, definition(version("v1"), version("v2"), conversion=webhook.config), namespace).established()
    yield made
    webhook.spoil = None
    made.delete()


def test_an_object_is_read_in_the_version_asked_for(cogs: Defined) -> None:
    """'[sig-api-machinery] CustomResourceConversionWebhook [Privileged:ClusterAdmin] should be able to convert from CR
    v1 to CR v2 [Conformance]'"""
    assert cogs.create("v1", "one", {"hostPort": "a:1"}).status == 201
    found = cogs.get("v2", "one").json
    assert found["apiVersion"] == f"{cogs.group}/v2"
    assert found["spec"] == {"host": "a", "port": "1"}
    assert cogs.get("v1", "one").json["spec"] == {"hostPort": "a:1"}


def test_a_list_of_objects_kept_in_two_versions_is_of_one(cogs: Defined, webhook: Splitter) -> None:
    """'[sig-api-machinery] CustomResourceConversionWebhook [Privileged:ClusterAdmin] should be able to convert a non
    homogeneous list of CRs [Conformance]'"""
    cogs.create("v1", "one", {"hostPort": "a:1"})
    swap = [{"op": "replace", "path": f"/spec/versions/{i}/storage", "value": i == 1} for i in (0, 1)]
    assert cogs.change(swap).status == 200
    cogs.create("v2", "two", {"host": "b", "port": "2"})
    for name, specs in (
        ("v1", [{"hostPort": "a:1"}, {"hostPort": "b:2"}]),
        ("v2", [{"host": "a", "port": "1"}, {"host": "b", "port": "2"}]),
    ):
        listed = cogs.server.raw("GET", cogs.url(name)).json
        assert listed["apiVersion"] == f"{cogs.group}/{name}"
        assert [item["spec"] for item in listed["items"]] == specs
        assert {item["apiVersion"] for item in listed["items"]} == {f"{cogs.group}/{name}"}
    assert cogs.server.raw("GET", cogs.path).json["status"]["storedVersions"] == ["v1", "v2"]


def test_every_verb_speaks_its_version(cogs: Defined) -> None:
    """Created, replaced, merged, applied, watched and deleted in v2 while v1 is kept."""
    server = cogs.server
    made = cogs.create("v2", "one", {"host": "a", "port": "1"})
    assert (made.status, made.json["spec"]) == (201, {"host": "a", "port": "1"})
    assert cogs.get("v1", "one").json["spec"] == {"hostPort": "a:1"}

    with server.watch(
        cogs.url("v2", tail=f"?watch=1&resourceVersion={made.json['metadata']['resourceVersion']}")
    ) as stream:
        replaced = server.raw("PUT", cogs.url("v2", "one"), {**made.json, "spec": {"host": "b", "port": "1"}})
        assert replaced.json["spec"] == {"host": "b", "port": "1"}
        event = stream.next()
        assert (event["type"], event["object"]["spec"]) == ("MODIFIED", {"host": "b", "port": "1"})
        merged = server.raw("PATCH", cogs.url("v2", "one"), {"spec": {"port": "9"}}, MERGE)
        assert merged.json["spec"] == {"host": "b", "port": "9"}
        assert stream.next()["object"]["spec"]["port"] == "9"
        applied = cogs.body("v2", "one", {"host": "c", "port": "9"})
        answer = server.raw("PATCH", cogs.url("v2", "one", "?fieldManager=me&force=true"), json.dumps(applied), APPLY)
        assert answer.json["spec"]["host"] == "c"
        assert stream.next()["object"]["apiVersion"] == f"{cogs.group}/v2"
        assert cogs.get("v1", "one").json["spec"] == {"hostPort": "c:9"}
        assert server.raw("DELETE", cogs.url("v2", "one")).status == 200
        assert stream.next()["type"] == "DELETED"


def test_what_was_converted_is_not_asked_again(cogs: Defined, webhook: Splitter) -> None:
    cogs.create("v1", "one", {"hostPort": "a:1"})
    cogs.get("v2", "one")
    before = len(webhook.reviews)
    for _ in range(3):
        cogs.get("v2", "one")
        cogs.server.raw("GET", cogs.url("v2"))
    assert len(webhook.reviews) == before


def _other_name(answer: dict[str, Any]) -> None:
    answer["response"]["convertedObjects"][0]["metadata"]["name"] = "other"


def _fewer(answer: dict[str, Any]) -> None:
    answer["response"]["convertedObjects"].clear()


def _failure(answer: dict[str, Any]) -> None:
    answer["response"]["result"] = {"status": "Failure", "message": "no such port"}


def _other_uid(answer: dict[str, Any]) -> None:
    answer["response"]["uid"] = "x"


def _other_version(answer: dict[str, Any]) -> None:
    answer["response"]["convertedObjects"][0]["apiVersion"] = "stable.example.com/v9"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_other_name, "metadata.name was mutated"),
        (_fewer, "returned 0 objects, expected 1"),
        (_failure, "failed: no such port"),
        (_other_uid, 'expected response.uid="'),
        (_other_version, "invalid groupVersion: expected"),
    ],
)
def test_a_wrong_answer_is_refused(cogs: Defined, webhook: Splitter, spoil: Any, said: str) -> None:
    """Reading in the other version fails and says why; nothing else does."""
    cogs.create("v1", "one", {"hostPort": "a:1"})
    webhook.spoil = spoil
    answer = cogs.get("v2", "one")
    assert answer.status == 500
    assert answer.message.startswith(f"conversion webhook for {cogs.group}/v1, Kind={cogs.kind} ")
    assert said in answer.message
    assert cogs.get("v1", "one").status == 200
    assert cogs.server.raw("DELETE", cogs.url("v1", "one")).status == 200


def test_labels_and_annotations_are_the_webhooks_to_change(cogs: Defined, webhook: Splitter) -> None:
    def label(answer: dict[str, Any]) -> None:
        for obj in answer["response"]["convertedObjects"]:
            obj["metadata"]["labels"] = {"converted": "yes"}
            obj["metadata"]["finalizers"] = ["example.com/not-its-business"]

    webhook.spoil = label
    cogs.create("v1", "one", {"hostPort": "a:1"})
    meta = cogs.get("v2", "one").json["metadata"]
    assert meta["labels"] == {"converted": "yes"}
    assert "finalizers" not in meta


def test_a_webhook_behind_a_service_is_looked_for(server: RunningServer, namespace: str, webhook: Splitter) -> None:
    """No EndpointSlice may lead to loopback: here it can only be seen that the Service's are looked at."""
    port = {"name": "https", "port": 443}
    services = f"/api/v1/namespaces/{namespace}/services"
    server.raw("POST", services, {"metadata": {"name": "hook"}, "spec": {"ports": [port]}})
    conversion = webhook.config
    service = {"name": "hook", "namespace": namespace, "path": "/convert"}
    conversion["webhook"]["clientConfig"] = {"service": service, "caBundle": webhook.client_config["caBundle"]}
    cogs = Defined(server, definition(version("v1"), version("v2"), conversion=conversion), namespace).established()
    cogs.create("v1", "one", {"hostPort": "a:1"})
    assert f'cannot find endpointslices for service/hook in "{namespace}"' in cogs.get("v2", "one").message
    cogs.delete()


def test_by_name_alone_each_version_shows_its_own_fields(server: RunningServer, namespace: str) -> None:
    """Strategy None: what one version's schema does not know is kept for the one that does."""

    def knows(field: str) -> dict[str, Any]:
        spec = {"type": "object", "properties": {field: {"type": "string", "default": "unset"}}}
        return {"type": "object", "properties": {"spec": spec}}

    cogs = Defined(
        server, definition(version("v1", knows("old")), version("v2", knows("new"))), namespace
    ).established()
    assert cogs.create("v2", "one", {"new": "x"}).json["spec"] == {"new": "x"}
    assert cogs.get("v1", "one").json["spec"] == {"old": "unset"}
    assert cogs.get("v2", "one").json["spec"] == {"new": "x"}
    cogs.delete()


def test_a_deprecated_version_warns(server: RunningServer, namespace: str) -> None:
    made = definition(
        version("v1"),
        version("v1beta1", deprecated=True),
        version("v1alpha1", deprecated=True, deprecationWarning="go away"),
    )
    cogs = Defined(server, made, namespace).established()
    assert server.raw("GET", cogs.url("v1")).warnings == ()
    (said,) = server.raw("GET", cogs.url("v1beta1")).warnings
    assert said == f'299 - "{cogs.group}/v1beta1 {cogs.kind} is deprecated; use {cogs.group}/v1 {cogs.kind}"'
    assert server.raw("GET", cogs.url("v1alpha1")).warnings == ('299 - "go away"',)
    cogs.delete()
