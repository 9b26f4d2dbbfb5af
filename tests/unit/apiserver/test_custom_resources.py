"""Kinds that users define."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.apiserver.harness import Api, make_server, settle
from tiphys.apiserver.customresources import schemas

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"
MERGE = "application/merge-patch+json"

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["color"],
            "properties": {
                "size": {"type": "integer", "default": 3, "minimum": 1},
                "color": {"type": "string", "enum": ["red", "blue"]},
                "port": {"x-kubernetes-int-or-string": True},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "items": {"type": "array", "maxItems": 2, "items": {"type": "string", "pattern": "^[a-z]+$"}},
            },
        },
        "status": {"type": "object", "properties": {"ready": {"type": "boolean"}}},
    },
}


def definition(*, versions: tuple[str, ...] = ("v1",)) -> dict[str, Any]:
    return {
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"kind": "Widget", "plural": "widgets", "shortNames": ["wd"]},
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": version == versions[0],
                    "schema": {"openAPIV3Schema": SCHEMA},
                    "subresources": {"status": {}},
                }
                for version in versions
            ],
        },
    }


async def define(api: Api, body: dict[str, Any] | None = None) -> None:
    await api.create(DEFINITIONS, body or definition())
    await settle()
    await settle()


def widget(name: str, **spec: Any) -> dict[str, Any]:
    meta = {"name": name}
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": meta, "spec": {"color": "red", **spec}}


async def test_a_definition_is_established(api: Api) -> None:
    assert (await api.call("GET", WIDGETS)).status == 404
    await define(api)
    stored = await api.get(f"{DEFINITIONS}/widgets.example.com")
    assert {c["type"]: c["status"] for c in stored["status"]["conditions"]} == {
        "NamesAccepted": "True",
        "Established": "True",
    }
    assert stored["status"]["acceptedNames"]["shortNames"] == ["wd"]
    found = await api.get("/apis/example.com/v1")
    assert [resource["name"] for resource in found["resources"]] == ["widgets", "widgets/status"]


async def test_objects_are_completed_and_pruned(api: Api) -> None:
    await define(api)
    answer = await api.call("POST", WIDGETS, widget("a", extra=1, free={"any": {"thing": 1}}))
    assert (answer.status, answer.warnings) == (201, ['299 - "unknown field \\"spec.extra\\""'])
    assert answer.body["spec"] == {"color": "red", "free": {"any": {"thing": 1}}, "size": 3}
    assert answer.body["metadata"]["generation"] == 1
    assert await api.get(f"{WIDGETS}/a") == answer.body
    strict = await api.call("POST", f"{WIDGETS}?fieldValidation=Strict", widget("b", extra=1))
    assert strict.status == 400 and 'unknown field "spec.extra"' in strict.body["message"]


async def test_status_is_apart_and_generations_count(api: Api) -> None:
    await define(api)
    created = await api.create(WIDGETS, {**widget("a"), "status": {"ready": True}})
    assert "status" not in created
    status = await api.call("PATCH", f"{WIDGETS}/a/status", {"status": {"ready": True}, "spec": {"size": 9}}, MERGE)
    assert (status.body["status"], status.body["spec"]["size"]) == ({"ready": True}, 3)
    assert status.body["metadata"]["generation"] == 1
    changed = await api.call("PATCH", f"{WIDGETS}/a", {"spec": {"size": 9}}, MERGE)
    assert (changed.body["metadata"]["generation"], changed.body["status"]) == (2, {"ready": True})


async def test_all_verbs(api: Api) -> None:
    await define(api)
    watch = await api.watch(f"{WIDGETS}?watch=1")
    await api.create(WIDGETS, widget("a"))
    await api.call("DELETE", f"{WIDGETS}/a")
    body = {**widget("b")}
    applied = await api.call("PATCH", f"{WIDGETS}/b?fieldManager=m", body, "application/apply-patch+yaml")
    assert applied.status == 201
    await settle()
    assert watch.names == ["ADDED a", "DELETED a", "ADDED b"]
    listed = await api.get("/apis/example.com/v1/widgets")
    assert listed["kind"] == "WidgetList" and [i["metadata"]["name"] for i in listed["items"]] == ["b"]
    assert (await api.call("DELETE", WIDGETS)).status == 200
    assert (await api.get(WIDGETS))["items"] == []


async def test_versions_share_their_objects(api: Api) -> None:
    await define(api, definition(versions=("v1", "v2")))
    await api.create(WIDGETS, widget("a"))
    other = await api.get("/apis/example.com/v2/namespaces/default/widgets/a")
    assert (other["apiVersion"], other["spec"]["color"]) == ("example.com/v2", "red")
    body = {**widget("b"), "apiVersion": "example.com/v2"}
    await api.create(WIDGETS.replace("v1", "v2"), body)
    assert (await api.get(f"{WIDGETS}/b"))["apiVersion"] == "example.com/v1"


async def test_a_definition_takes_its_objects_along(api: Api) -> None:
    await define(api)
    await api.create(WIDGETS, widget("a"))
    await api.call("DELETE", f"{DEFINITIONS}/widgets.example.com")
    for _ in range(5):
        await settle()
    assert (await api.call("GET", f"{DEFINITIONS}/widgets.example.com")).status == 404
    assert (await api.call("GET", WIDGETS)).status == 404
    assert "/apis/example.com" not in (await api.get("/"))["paths"]
    await define(api)
    assert (await api.get(WIDGETS))["items"] == []


async def test_definitions_survive_a_restart(api: Api) -> None:
    await define(api)
    await api.create(WIDGETS, widget("a"))
    server, clock = make_server()
    backend = api.server.context.backend
    server.feed._backend = server.context.backend = backend
    await server.feed.start()
    await server.definitions.load()
    second = Api(server, clock)
    assert (await second.get(f"{WIDGETS}/a"))["spec"]["size"] == 3
    await server.feed.close()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"color": "green"}, 'spec.color: Unsupported value: "green": supported values: "red", "blue"'),
        ({"color": "red", "size": 0}, "spec.size in body should be greater than or equal to 1"),
        ({"color": "red", "size": "x"}, 'spec.size in body must be of type integer: "string"'),
        ({"color": "red", "items": ["A"]}, "spec.items[0] in body should match '^[a-z]+$'"),
        ({"color": "red", "items": ["a", "b", "c"]}, "spec.items: Too many: 3: must have at most 2 items"),
        ({"color": "red", "port": True}, "spec.port in body must be of type int-or-string"),
        ({"size": 1}, "spec.color: Required value"),
    ],
)
def test_schemas_refuse(spec: dict[str, Any], message: str) -> None:
    (found,) = schemas.check(SCHEMA["properties"]["spec"], spec, "spec")
    assert message in str(found)


def test_schemas_accept() -> None:
    spec = {"color": "red", "port": "http", "items": ["a"], "free": {"x": [1, {"y": None}]}}
    assert list(schemas.check(SCHEMA["properties"]["spec"], spec, "spec")) == []
    assert schemas.prune(SCHEMA["properties"]["spec"], spec, "spec") == []


async def test_columns_are_printed_as_defined(api: Api) -> None:
    body = definition()
    body["spec"]["versions"][0]["additionalPrinterColumns"] = [
        {"name": "Color", "type": "string", "jsonPath": ".spec.color"},
        {"name": "Size", "type": "integer", "jsonPath": ".spec.size", "priority": 1},
        {"name": "First", "type": "string", "jsonPath": ".spec.items[0]"},
        {"name": "Ready", "type": "string", "jsonPath": '.spec.free.conditions[?(@.type=="Ready")].status'},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
    await define(api, body)
    free = {"conditions": [{"type": "Other", "status": "False"}, {"type": "Ready", "status": "True"}]}
    await api.create(WIDGETS, widget("a", items=["x"], free=free))
    accept = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    table = (await api.call("GET", WIDGETS, headers=accept)).body
    assert [column["name"] for column in table["columnDefinitions"]] == [
        *("Name", "Color", "Size", "First", "Ready", "Age")
    ]
    assert table["rows"][0]["cells"][:5] == ["a", "red", 3, "x", "True"]


async def test_they_are_described(api: Api) -> None:
    await define(api)
    document = await api.get("/openapi/v3/apis/example.com/v1")
    schemas_ = document["components"]["schemas"]
    kinds = {name: schema.get("x-kubernetes-group-version-kind") or [{}] for name, schema in schemas_.items()}
    (name,) = [name for name, (first, *_) in kinds.items() if first.get("kind") == "Widget"]
    assert schemas_[name]["properties"]["spec"]["properties"]["size"]["default"] == 3
    assert f"{WIDGETS.replace('default', '{namespace}')}/{{name}}" in document["paths"]


def scaled_definition() -> dict[str, Any]:
    body = definition()
    version = body["spec"]["versions"][0]
    paths = {
        "specReplicasPath": ".spec.size",
        "statusReplicasPath": ".status.size",
        "labelSelectorPath": ".status.pods",
    }
    version["subresources"]["scale"] = paths
    status = {"type": "object", "properties": {"size": {"type": "integer"}, "pods": {"type": "string"}}}
    spec = SCHEMA["properties"]["spec"]
    version["schema"] = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec, "status": status}}}
    return body


async def test_custom_resources_are_scaled(api: Api) -> None:
    await define(api, scaled_definition())
    await api.create(WIDGETS, widget("w", size=2))
    scale = await api.get(f"{WIDGETS}/w/scale")
    assert (scale["kind"], scale["apiVersion"], scale["spec"]) == ("Scale", "autoscaling/v1", {"replicas": 2})
    status = {"status": {"size": 2, "pods": "app=w"}}
    assert (await api.call("PATCH", f"{WIDGETS}/w/status", status, content_type=MERGE)).status == 200
    assert (await api.get(f"{WIDGETS}/w/scale"))["status"] == {"replicas": 2, "selector": "app=w"}
    answer = await api.call("PATCH", f"{WIDGETS}/w/scale", {"spec": {"replicas": 5}}, content_type=MERGE)
    assert answer.status == 200
    stored = await api.get(f"{WIDGETS}/w")
    assert stored["spec"] == {"color": "red", "size": 5} and stored["metadata"]["generation"] == 2
    listed = await api.get("/apis/example.com/v1")
    found = next(entry for entry in listed["resources"] if entry["name"] == "widgets/scale")
    assert (found["kind"], found["group"], found["version"]) == ("Scale", "autoscaling", "v1")
    refused = await api.call("PATCH", f"{WIDGETS}/w/scale", {"spec": {"replicas": 0}}, content_type=MERGE)
    assert refused.status == 422, "the schema holds for scaling too"
