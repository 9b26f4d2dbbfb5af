"""Documents of other servers, merged."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tiphys.apiserver.openapi import OpenApi, protobuf
from tiphys.apiserver.openapi.merging import merged, part_of
from tiphys.base.http.messages import Headers, Request

GVK = "x-kubernetes-group-version-kind"
ROOT = "/apis/flowers.example.com/v1"
ROSE = "com.example.flowers.v1.Rose"


def reference(name: str, section: str = "definitions") -> dict[str, str]:
    return {"$ref": f"#/{section}/{name}"}


def kind(name: str, group: str = "flowers.example.com") -> dict[str, str]:
    return {"group": group, "version": "v1", "kind": name}


def operation(name: str, **more: Any) -> dict[str, Any]:
    return {"get": {"responses": {"200": {"description": "OK", "schema": reference(name)}}, **more}}


def document(paths: dict[str, Any], **definitions: Any) -> dict[str, Any]:
    return {"swagger": "2.0", "paths": paths, "definitions": definitions}


def test_a_part_has_its_paths_and_what_these_refer_to() -> None:
    whole = document(
        {
            f"{ROOT}/roses": operation("Rose"),
            "/apis/other/v1/x": operation("Other"),
            f"{ROOT}beta1/y": operation("Other"),
        },
        Rose={"properties": {"meta": reference("Meta")}},
        Meta={"type": "object"},
        Other={"type": "object"},
    )
    part = part_of(whole, ROOT)
    assert list(part.sections["paths"]) == [f"{ROOT}/roses"]
    assert set(part.sections["definitions"]) == {"Rose", "Meta"}
    assert part == part_of(json.loads(json.dumps(whole)), ROOT)


@pytest.mark.parametrize(
    "broken",
    [
        [],
        {"paths": [1]},
        {"paths": {f"{ROOT}/x": 1}},
        document({f"{ROOT}/x": operation("Missing")}),
        document({f"{ROOT}/x": {"get": {"parameters": [1]}}}),
        document({f"{ROOT}/x": {"get": {"parameters": [{"in": "nowhere"}]}}}),
        document({f"{ROOT}/x": operation("Rose")}, Rose={"properties": 1}),
        document({f"{ROOT}/x": operation("Rose")}, Rose={"required": [1]}),
    ],
)
def test_what_could_not_be_served_on_is_refused(broken: Any) -> None:
    with pytest.raises(ValueError):
        part_of(broken, ROOT)


def test_equal_definitions_are_one_and_prose_does_not_count() -> None:
    own = document(
        {}, Meta={"type": "object", "description": "ours", "properties": {"description": {"type": "string"}}}
    )
    theirs = {"type": "object", "description": "theirs", "properties": {"description": {"type": "string"}}}
    part = part_of(document({f"{ROOT}/x": operation("Meta")}, Meta=theirs), ROOT)
    made = merged(own, [part])
    assert made["definitions"] == own["definitions"] and f"{ROOT}/x" in made["paths"]
    assert own["paths"] == {}, "nothing that was given is changed"


def test_others_are_renamed_with_all_that_refers_to_them() -> None:
    own = document({}, Meta={"type": "object"}, Holder={"items": reference("Meta")}, Same={"type": "string"})
    theirs = {"Meta": {"type": "array"}, "Holder": {"items": reference("Meta")}, "Same": {"type": "string"}}
    theirs["Rose"] = {"properties": {"a": reference("Holder"), "b": reference("Same")}}
    part = part_of(document({f"{ROOT}/x": operation("Rose")}, **theirs), ROOT)
    found = merged(own, [part])["definitions"]
    assert set(found) == {"Meta", "Holder", "Same", "Meta_v2", "Holder_v2", "Rose"}
    assert found["Holder"] == {"items": reference("Meta")} and found["Holder_v2"] == {"items": reference("Meta_v2")}
    assert found["Rose"]["properties"] == {"a": reference("Holder_v2"), "b": reference("Same")}


def test_two_other_servers_share_what_is_equal() -> None:
    own = document({}, Meta={"type": "object"})
    first = part_of(document({f"{ROOT}/x": operation("Meta")}, Meta={"type": "array"}), ROOT)
    second = part_of(document({f"{ROOT}/y": operation("Meta")}, Meta={"type": "array"}), ROOT)
    third = part_of(document({f"{ROOT}/z": operation("Meta")}, Meta={"type": "string"}), ROOT)
    taken = part_of(document({f"{ROOT}/w": operation("Meta_v2")}, Meta_v2={"type": "integer"}), ROOT)
    made = merged(own, [first, second, third, taken])
    types = {name: definition["type"] for name, definition in made["definitions"].items()}
    assert types == {
        "Meta": "object",
        "Meta_v2": "array",
        "Meta_v3": "string",
        "Meta_v2_v2": "integer",
    }
    schema = made["paths"][f"{ROOT}/y"]["get"]["responses"]["200"]["schema"]
    assert schema == reference("Meta_v2")


def test_a_kind_has_one_definition_and_a_path_is_the_first_servers() -> None:
    options = {"type": "object", GVK: [kind("DeleteOptions", "")]}
    own = document({f"{ROOT}/x": {"get": {"tags": ["ours"]}}}, Options=options, Meta={"type": "object"})
    theirs = {
        "Options": {"type": "object", GVK: [kind("DeleteOptions", ""), kind("DeleteOptions")]},
        "Meta": {"type": "array", GVK: [kind("DeleteOptions", ""), kind("Rose")]},
        "Loop": {"items": reference("Loop")},
    }
    item = operation("Options", parameters=[{"in": "body", "name": "body", "schema": reference("Meta")}])
    paths = {f"{ROOT}/x": item, f"{ROOT}/y": item, f"{ROOT}/z": operation("Loop")}
    made = merged(own, [part_of(document(paths, **theirs), ROOT)])
    assert made["definitions"]["Options"][GVK] == [kind("DeleteOptions", ""), kind("DeleteOptions")]
    assert made["definitions"]["Meta_v2"][GVK] == [kind("Rose")]
    assert made["definitions"]["Loop"] == theirs["Loop"]
    assert made["paths"][f"{ROOT}/x"] == own["paths"][f"{ROOT}/x"]
    assert made["paths"][f"{ROOT}/y"]["get"]["parameters"][0]["schema"] == reference("Meta_v2")


def test_shared_parameters_come_along() -> None:
    whole = document({f"{ROOT}/x": {"get": {"parameters": [reference("pretty", "parameters")]}}})
    whole["parameters"] = {"pretty": {"in": "query", "name": "pretty", "type": "string"}, "unused": {"in": "query"}}
    made = merged(document({}), [part_of(whole, ROOT)])
    assert made["parameters"] == {"pretty": whole["parameters"]["pretty"]}
    assert b"#/parameters/pretty" in protobuf.encode(made)
    assert protobuf.encode(made).count(b"\x06pretty") == 2  # the name it goes by, and its own


def test_the_document_changes_with_its_parts() -> None:
    server = OpenApi(())

    def get() -> tuple[bytes, Any]:
        answer = server.handle(Request("GET", b"/openapi/v2", Headers(())))
        return dict(answer.headers)[b"ETag"], json.loads(answer.body)

    before, _ = get()
    part = part_of(document({f"{ROOT}/x": operation(ROSE)}, **{ROSE: {"type": "object", GVK: [kind("Rose")]}}), ROOT)
    server.replace_remote({}, [part])
    with_part, found = get()
    assert with_part != before and ROSE in found["definitions"] and f"{ROOT}/x" in found["paths"]
    server.replace_remote({}, [part_of(json.loads(json.dumps(dict(part.sections))), ROOT)])
    assert get()[0] == with_part
    server.replace_remote({})
    assert get()[0] == before


def test_another_apiservers_whole_document_shares_all_that_is_known_here() -> None:
    def v2(server: OpenApi) -> Any:
        return json.loads(server.handle(Request("GET", b"/openapi/v2", Headers(()))).body)

    whole = v2(OpenApi())
    for definition in whole["definitions"].values():
        definition["description"] = "from elsewhere"
    made = merged(v2(OpenApi()), [part_of(whole, "/apis/apps/v1")])
    assert made == v2(OpenApi())
