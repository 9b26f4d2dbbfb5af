"""The behaviours of FieldValidation, in every way to write: POST, PUT, the patches and apply, as JSON and as YAML."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.api.running import Answer, RunningServer
from tests.conformance.customresources.definitions import OPEN, Defined, definition, version

STRICT, WARN, IGNORE = "fieldValidation=Strict", "fieldValidation=Warn", "fieldValidation=Ignore"
YAML = {"Content-Type": "application/yaml"}
MERGE = {"Content-Type": "application/merge-patch+json"}
STRATEGIC = {"Content-Type": "application/strategic-merge-patch+json"}
APPLY = {"Content-Type": "application/apply-patch+yaml"}
KNOWN = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "a": {"type": "string"},
                "n": {"type": "integer"},
                "template": {
                    "type": "object",
                    "x-kubernetes-embedded-resource": True,
                    "x-kubernetes-preserve-unknown-fields": True,
                },
            },
        }
    },
}


def deployment(name: str, more: str = "", meta: str = "") -> str:
    """A Deployment's JSON with text put into its spec and its metadata."""
    container = '{"name":"main","image":"any:1"}'
    template = f'{{"metadata":{{"labels":{{"a":"b"}}}},"spec":{{"containers":[{container}]}}}}'
    spec = f'{{"selector":{{"matchLabels":{{"a":"b"}}}},"template":{template}{more}}}'
    return f'{{"apiVersion":"apps/v1","kind":"Deployment","metadata":{{"name":"{name}"{meta}}},"spec":{spec}}}'


class Deployments:
    def __init__(self, server: RunningServer, namespace: str) -> None:
        self._server = server
        self._path = f"/apis/apps/v1/namespaces/{namespace}/deployments"

    def __call__(self, method: str, name: str, body: str, query: str, headers: dict[str, str] | None = None) -> Answer:
        path = self._path + (f"/{name}" if name else "")
        return self._server.raw(method, f"{path}?{query}", body, headers)


@pytest.fixture
def deployments(server: RunningServer, namespace: str) -> Deployments:
    return Deployments(server, namespace)


TWICE = ',"replicas":1,"replicas":2,"unknownField":1'
FOUND = 'duplicate field "spec.replicas", unknown field "spec.unknownField"'


def both(message: str) -> bool:
    return 'unknown field "spec.unknownField"' in message and 'duplicate field "spec.replicas"' in message


def test_a_typed_object_with_unknown_and_repeated_fields(deployments: Deployments) -> None:
    """'[sig-api-machinery] FieldValidation should detect unknown and duplicate fields of a typed object
    [Conformance]'"""
    refused = deployments("POST", "", deployment("one", TWICE), STRICT)
    assert (refused.status, refused.reason) == (400, "BadRequest")
    assert refused.message.startswith(
        'Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: '
    )
    assert both(refused.message)
    warned = deployments("POST", "", deployment("warned", TWICE), WARN)
    assert warned.status == 201
    assert set(warned.warnings) == {
        '299 - "unknown field \\"spec.unknownField\\""',
        '299 - "duplicate field \\"spec.replicas\\""',
    }
    assert deployments("POST", "", deployment("ignored", TWICE), IGNORE).warnings == ()

    assert deployments("POST", "", deployment("one"), STRICT).status == 201
    assert both(deployments("PUT", "one", deployment("one", TWICE), STRICT).message)
    part = '{"spec":{"replicas":1,"replicas":2,"unknownField":1}}'
    for headers in (MERGE, STRATEGIC):
        answer = deployments("PATCH", "one", part, STRICT, headers)
        assert answer.status in (400, 422)
        assert "replicas" in answer.message or "unknownField" in answer.message
    unknown = deployments("PATCH", "one", '{"spec":{"unknownField":1}}', STRICT, MERGE)
    assert (unknown.status, unknown.reason) == (422, "Invalid")
    assert 'strict decoding error: unknown field "spec.unknownField"' in unknown.message


def test_unknown_metadata_of_a_typed_object(deployments: Deployments) -> None:
    """'[sig-api-machinery] FieldValidation should detect unknown metadata fields of a typed object [Conformance]'"""
    answer = deployments("POST", "", deployment("one", meta=',"unknownMeta":"x"'), STRICT)
    assert answer.status == 400
    assert 'strict decoding error: unknown field "metadata.unknownMeta"' in answer.message


@pytest.fixture
def cogs(server: RunningServer, namespace: str) -> Iterator[Defined]:
    made = Defined(server, definition(version("v1", KNOWN)), namespace).established()
    yield made
    made.delete()


@pytest.fixture
def open_cogs(server: RunningServer, namespace: str) -> Iterator[Defined]:
    made = Defined(server, definition(version("v1", OPEN)), namespace).established()
    yield made
    made.delete()


def text(kind: Defined, name: str, spec: str, meta: str = "") -> str:
    head = f'"apiVersion":"{kind.group}/v1","kind":"{kind.kind}"'
    return f'{{{head},"metadata":{{"name":"{name}"{meta}}},"spec":{spec}}}'


def written(kind: Defined, name: str, spec: str, meta: str = "") -> list[Answer]:
    """Strictly, by POST and by apply."""
    body = text(kind, name, spec, meta)
    server = kind.server
    applied = server.raw(
        "PATCH",
        kind.url("v1", f"{name}-applied", f"?fieldManager=me&{STRICT}"),
        body.replace(name, f"{name}-applied"),
        APPLY,
    )
    return [server.raw("POST", kind.url("v1", tail=f"?{STRICT}"), body), applied]


def test_unknown_fields_without_a_schema(open_cogs: Defined) -> None:
    """'[sig-api-machinery] FieldValidation should create/apply a CR with unknown fields for CRD with no validation
    schema [Conformance]'"""
    assert [answer.status for answer in written(open_cogs, "one", '{"anything":{"goes":1}}')] == [201, 201]


def test_a_valid_object(cogs: Defined) -> None:
    """'[sig-api-machinery] FieldValidation should create/apply a valid CR for CRD with validation schema
    [Conformance]'"""
    assert [answer.status for answer in written(cogs, "one", '{"a":"x","n":1}')] == [201, 201]


def test_an_object_with_too_much(cogs: Defined) -> None:
    """'[sig-api-machinery] FieldValidation should create/apply an invalid CR with extra properties for CRD with
    validation schema [Conformance]'"""
    created, applied = written(cogs, "one", '{"a":"x","more":{"than":"known"}}')
    assert created.status == 400
    assert 'strict decoding error: unknown field "spec.more"' in created.message
    # Apply must know who owns what, and cannot say it of a field that nobody declared.
    assert ".spec.more: field not declared in schema" in applied.message


def test_unknown_metadata_of_an_object_and_of_what_it_embeds(cogs: Defined) -> None:
    """'[sig-api-machinery] FieldValidation should detect unknown metadata fields in both the root and embedded object
    of a CR [Conformance]'"""
    embedded = '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x","unknownSubMeta":1},"any":2}'
    created, applied = written(cogs, "one", f'{{"template":{embedded}}}', ',"unknownMeta":"x"')
    assert created.status == 400
    assert 'unknown field "metadata.unknownMeta"' in created.message
    assert 'unknown field "spec.template.metadata.unknownSubMeta"' in created.message
    assert ".metadata.unknownMeta: field not declared in schema" in applied.message


def test_repeated_fields_where_unknown_ones_are_kept(open_cogs: Defined) -> None:
    """'[sig-api-machinery] FieldValidation should detect duplicates in a CR when preserving unknown fields
    [Conformance]'"""
    body = text(open_cogs, "one", '{"a":1,"a":2}')
    refused = open_cogs.server.raw("POST", open_cogs.url("v1", tail=f"?{STRICT}"), body)
    assert refused.status == 400
    assert 'strict decoding error: duplicate field "spec.a"' in refused.message
    yaml = f"apiVersion: {open_cogs.group}/v1\nkind: {open_cogs.kind}\nmetadata: {{name: one}}\nspec:\n  a: 1\n  a: 2\n"
    refused = open_cogs.server.raw("POST", open_cogs.url("v1", tail=f"?{STRICT}"), yaml, YAML)
    assert refused.status == 400
    assert 'key "a" already set in map' in refused.message
    applied = open_cogs.server.raw("PATCH", open_cogs.url("v1", "two", f"?fieldManager=me&{STRICT}"), yaml, APPLY)
    assert applied.status == 400
    assert 'key "a" already set in map' in applied.message


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_another_value_is_refused(deployments: Deployments, method: str) -> None:
    name = "" if method == "POST" else "one"
    answer = deployments(
        method, name, deployment("one"), "fieldValidation=Perhaps", MERGE if method == "PATCH" else None
    )
    options = {"POST": "CreateOptions", "PUT": "UpdateOptions", "PATCH": "PatchOptions"}[method]
    assert (answer.status, answer.reason) == (422, "Invalid")
    assert answer.message == (
        f'{options}.meta.k8s.io "" is invalid: fieldValidation: Unsupported value: "Perhaps": '
        'supported values: "", "Ignore", "Strict", "Warn"'
    )
