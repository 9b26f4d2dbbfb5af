"""One request a row, on one ConfigMap, Deployment or Service that is there: what it is answered."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conformance.api.running import Answer, RunningServer

JSON, MERGE = "application/json-patch+json", "application/merge-patch+json"
STRATEGIC, APPLY = "application/strategic-merge-patch+json", "application/apply-patch+yaml"
_MAP = {"metadata": {"name": "one", "labels": {"a": "1"}}, "data": {"k": "v", "l": "w"}}
_POD = {"containers": [{"name": "main", "image": "i:1"}, {"name": "side", "image": "s:1", "args": ["a", "b"]}]}
_DEPLOYMENT = {
    "metadata": {"name": "one", "finalizers": ["example.com/a", "example.com/b"]},
    "spec": {
        "replicas": 0,
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": _POD},
    },
}


class There:
    """The objects the rows change."""

    def __init__(self, server: RunningServer, namespace: str) -> None:
        self._server = server
        self.maps = f"/api/v1/namespaces/{namespace}/configmaps"
        self.deployments = f"/apis/apps/v1/namespaces/{namespace}/deployments"
        assert server.raw("POST", self.maps, _MAP).status == 201
        assert server.raw("POST", self.deployments, _DEPLOYMENT).status == 201

    def patch(self, path: str, form: str, body: Any, query: str = "") -> Answer:
        data = body if isinstance(body, str) else json.dumps(body)
        return self._server.raw("PATCH", path + (f"?{query}" if query else ""), data, {"Content-Type": form})

    def map(self, form: str, body: Any, query: str = "") -> Answer:
        return self.patch(f"{self.maps}/one", form, body, query)

    def deployment(self, form: str, body: Any, query: str = "") -> Answer:
        return self.patch(f"{self.deployments}/one", form, body, query)


@pytest.fixture
def there(server: RunningServer, namespace: str) -> There:
    return There(server, namespace)


def _op(op: str, path: str, **more: Any) -> dict[str, Any]:
    return {"op": op, "path": path, **more}


@pytest.mark.parametrize(
    ("patch", "data"),
    [
        ([_op("add", "/data/n", value="1")], {"n": "1"}),
        ([_op("replace", "/data/k", value="w")], {"k": "w"}),
        ([_op("remove", "/data/k")], {"k": None}),
        ([_op("copy", "/data/c", **{"from": "/data/k"})], {"c": "v", "k": "v"}),
        ([_op("move", "/data/c", **{"from": "/data/k"})], {"c": "v", "k": None}),
        ([_op("test", "/data/k", value="v"), _op("add", "/data/k", value="w")], {"k": "w"}),
        ([], {"k": "v"}),
    ],
    ids=lambda value: value[0]["op"] if isinstance(value, list) and value else "",
)
def test_operations(there: There, patch: Any, data: dict[str, str | None]) -> None:
    found = there.map(JSON, patch)
    assert found.status == 200, found.body
    assert {name: found.json["data"].get(name) for name in data} == data


def test_a_slash_in_a_name_is_escaped(there: There) -> None:
    there.map(MERGE, {"metadata": {"annotations": {"x.io/y": "1"}}})
    found = there.map(JSON, [_op("replace", "/metadata/annotations/x.io~1y", value="2")])
    assert found.json["metadata"]["annotations"] == {"x.io/y": "2"}


@pytest.mark.parametrize(
    ("patch", "code", "reason", "said"),
    [
        (
            [_op("remove", "/data/none")],
            422,
            "Invalid",
            "the server rejected our request due to an error in our request",
        ),
        ([_op("replace", "/none/k", value="w")], 422, "Invalid", "the server rejected our request"),
        ([_op("copy", "/data/c", **{"from": "/data/none"})], 422, "Invalid", "the server rejected our request"),
        ([_op("test", "/data/k", value="w")], 422, "Invalid", "the server rejected our request"),
        ([_op("dance", "/data/k")], 422, "Invalid", "the server rejected our request"),
        (
            {"op": "add"},
            400,
            "BadRequest",
            "json: cannot unmarshal object into Go value of type jsonpatch",
        ),
        ("[", 400, "BadRequest", "error decoding patch: "),
        (
            [_op("replace", "/metadata/name", value="two")],
            400,
            "BadRequest",
            "the name of the object (two) does not match",
        ),
        ([_op("replace", "/data/k", value=1)], 422, "Invalid", ""),
        (
            [_op("test", "/data/k", value="v")] * 10_001,
            413,
            "RequestEntityTooLarge",
            "The allowed maximum operations in a",
        ),
    ],
)
def test_operations_that_cannot_be(there: There, patch: Any, code: int, reason: str, said: str) -> None:
    answer = there.map(JSON, patch)
    assert (answer.status, answer.reason) == (code, reason), answer.body[:300]
    assert said in answer.message


@pytest.mark.parametrize(
    ("patch", "data"),
    [
        ({"data": {"n": "1"}}, {"n": "1", "k": "v"}),
        ({"data": {"k": None}}, {"k": None}),
        ({"data": None}, {"k": None, "l": None}),
        ({"data": {"k": "w"}, "kind": "ConfigMap"}, {"k": "w"}),
    ],
)
def test_merging(there: There, patch: Any, data: dict[str, str | None]) -> None:
    found = there.map(MERGE, patch)
    assert found.status == 200, found.body
    assert {name: found.json.get("data", {}).get(name) for name in data} == data


@pytest.mark.parametrize(
    ("form", "patch", "code", "reason", "said"),
    [
        (MERGE, "[]", 400, "BadRequest", ""),
        (MERGE, "{", 400, "BadRequest", ""),
        (
            MERGE,
            {"metadata": {"name": "two"}},
            400,
            "BadRequest",
            "the name of the object (two) does not match the name",
        ),
        (
            MERGE,
            {"metadata": {"namespace": "x"}},
            400,
            "BadRequest",
            "the namespace of the provided object does not match",
        ),
        (
            MERGE,
            {"metadata": {"resourceVersion": "1"}},
            409,
            "Conflict",
            "the object has been modified; please apply your",
        ),
        (MERGE, {"metadata": {"uid": "x"}}, 422, "Invalid", "field is immutable"),
        (
            STRATEGIC,
            {"metadata": {"resourceVersion": "1"}},
            409,
            "Conflict",
            "the object has been modified; please apply",
        ),
        ("text/plain", {}, 415, "UnsupportedMediaType", ""),
        ("application/json", {}, 415, "UnsupportedMediaType", ""),
    ],
)
def test_patches_that_cannot_be(there: There, form: str, patch: Any, code: int, reason: str, said: str) -> None:
    answer = there.map(form, patch)
    assert (answer.status, answer.reason) == (code, reason), answer.body[:300]
    assert said in answer.message


def _template(**spec: Any) -> dict[str, Any]:
    return {"spec": {"template": {"spec": spec}}}


def _containers(answer: Answer) -> list[dict[str, Any]]:
    assert answer.status == 200, answer.body
    return [
        {name: one[name] for name in ("name", "image", "args") if name in one}
        for one in answer.json["spec"]["template"]["spec"]["containers"]
    ]


_MAIN, _SIDE = _POD["containers"]


@pytest.mark.parametrize(
    ("patch", "containers"),
    [
        ([{"name": "main", "image": "i:2"}], [{**_MAIN, "image": "i:2"}, _SIDE]),
        ([{"name": "new", "image": "n:1"}], [{"name": "new", "image": "n:1"}, _MAIN, _SIDE]),
        ([{"name": "side", "$patch": "delete"}], [_MAIN]),
        ([{"$patch": "replace"}, {"name": "only", "image": "o:1"}], [{"name": "only", "image": "o:1"}]),
        ([{"name": "side", "args": ["c"]}], [_MAIN, {**_SIDE, "args": ["c"]}]),
        ([{"name": "side", "args": None}], [_MAIN, {"name": "side", "image": "s:1"}]),
    ],
    ids=["one", "new", "delete", "replace", "atomic", "null"],
)
def test_lists_merge_by_key(there: There, patch: Any, containers: Any) -> None:
    assert _containers(there.deployment(STRATEGIC, _template(containers=patch))) == containers


def test_an_order_is_set(there: There) -> None:
    order = {"$setElementOrder/containers": [{"name": "side"}, {"name": "main"}], "containers": []}
    assert [one["name"] for one in _containers(there.deployment(STRATEGIC, _template(**order)))] == ["side", "main"]


def test_members_of_a_primitive_list_are_taken_out(there: There) -> None:
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.com/a"]}}
    assert there.deployment(STRATEGIC, patch).json["metadata"]["finalizers"] == ["example.com/b"]
    there.deployment(MERGE, {"metadata": {"finalizers": None}})


def test_a_union_keeps_what_it_is_told_to(there: There) -> None:
    strategy = {"$retainKeys": ["type"], "type": "Recreate"}
    assert there.deployment(STRATEGIC, {"spec": {"strategy": strategy}}).json["spec"]["strategy"] == {
        "type": "Recreate"
    }


def _map(data: dict[str, str], **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "two", **metadata}, "data": data}


class TestApply:
    """Server-side apply of a ConfigMap of its own."""

    def apply(self, there: There, manager: str, data: dict[str, str], query: str = "", **metadata: Any) -> Answer:
        return there.patch(f"{there.maps}/two", APPLY, _map(data, **metadata), f"fieldManager={manager}{query}")

    def test_it_creates_and_changes(self, there: There) -> None:
        assert self.apply(there, "me", {"a": "1"}).status == 201
        changed = self.apply(there, "me", {"b": "1"})
        assert (changed.status, changed.json["data"]) == (200, {"b": "1"})
        (entry,) = changed.json["metadata"]["managedFields"]
        assert (entry["manager"], entry["operation"]) == ("me", "Apply")
        assert entry["fieldsV1"] == {"f:data": {"f:b": {}}}

    def test_applying_the_same_changes_nothing(self, there: There) -> None:
        first, second = (self.apply(there, "me", {"a": "1"}) for _ in range(2))
        assert first.json == second.json

    def test_a_conflict_names_who_and_what(self, there: There) -> None:
        self.apply(there, "me", {"a": "1"})
        refused = self.apply(there, "you", {"a": "2"})
        assert (refused.status, refused.reason) == (409, "Conflict")
        assert refused.message == 'Apply failed with 1 conflict: conflict with "me": .data.a'
        (cause,) = refused.json["details"]["causes"]
        assert cause == {"reason": "FieldManagerConflict", "message": 'conflict with "me"', "field": ".data.a"}

    def test_conflicts_with_several(self, there: There) -> None:
        self.apply(there, "me", {"a": "1"})
        self.apply(there, "us", {"b": "1"})
        refused = self.apply(there, "you", {"a": "2", "b": "2"})
        assert refused.message.startswith("Apply failed with 2 conflicts: conflicts with ")
        assert len(refused.json["details"]["causes"]) == 2

    def test_force_takes_over(self, there: There) -> None:
        self.apply(there, "me", {"a": "1"})
        taken = self.apply(there, "you", {"a": "2"}, "&force=true")
        assert taken.json["data"] == {"a": "2"}
        assert [entry["manager"] for entry in taken.json["metadata"]["managedFields"]] == ["you"]

    def test_who_says_the_same_owns_it_too(self, there: There) -> None:
        self.apply(there, "me", {"a": "1"})
        self.apply(there, "you", {"a": "1"})
        # Both have it: when one lets go, it stays.
        left = self.apply(there, "me", {})
        assert left.json["data"] == {"a": "1"}

    def test_a_dry_run_keeps_nothing(self, there: There) -> None:
        assert self.apply(there, "me", {"a": "1"}, "&dryRun=All").status == 201
        assert self.apply(there, "me", {"b": "1"}).status == 201

    @pytest.mark.parametrize(
        ("query", "code", "said"),
        [
            ("", 422, "fieldManager: Required value: is required for apply patch"),
            ("fieldManager=" + "x" * 129, 422, "fieldManager: Too long: may not be more than 128 bytes"),
            ("fieldManager=me&dryRun=Some", 422, 'dryRun: Unsupported value: ["Some"]: supported values: "All"'),
        ],
    )
    def test_options_that_cannot_be(self, there: There, query: str, code: int, said: str) -> None:
        answer = there.patch(f"{there.maps}/two", APPLY, _map({"a": "1"}), query)
        assert answer.status == code, answer.body
        assert said in answer.message

    def test_managed_fields_are_not_applied(self, there: There) -> None:
        refused = self.apply(there, "me", {"a": "1"}, managedFields=[{"manager": "x"}])
        assert refused.status == 400
        assert "metadata.managedFields must be nil" in refused.message

    def test_another_kind_or_name(self, there: There) -> None:
        wrong = {**_map({}), "kind": "Secret"}
        assert there.patch(f"{there.maps}/two", APPLY, wrong, "fieldManager=me").status == 400
        other = there.patch(f"{there.maps}/three", APPLY, _map({}), "fieldManager=me")
        assert other.status == 400 and "does not match the name on the URL" in other.message

    def test_a_version_that_is_over(self, there: There) -> None:
        self.apply(there, "me", {"a": "1"})
        refused = self.apply(there, "me", {"a": "2"}, resourceVersion="1")
        assert (refused.status, refused.reason) == (409, "Conflict")


def test_force_is_for_apply_alone(there: There) -> None:
    answer = there.map(MERGE, {"data": {"k": "w"}}, "force=true")
    assert answer.status == 422
    assert "force: Forbidden: may not be specified for non-apply patch" in answer.message


def test_managed_fields_are_reset(there: There) -> None:
    found = there.map(MERGE, {"metadata": {"managedFields": [{}]}})
    assert "managedFields" not in found.json["metadata"]


def test_what_is_not_there_is_not_patched(there: There) -> None:
    answer = there.patch(f"{there.maps}/none", MERGE, {"data": {}})
    assert (answer.status, answer.message) == (404, 'configmaps "none" not found')
