"""Every refusal of a running upstream that validation alone decides, held against ours: code, words and causes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.api_defaulting.reference import needs_recordings, recorded, same
from tests.unit.api_defaulting.test_recorded_defaults import NOW, resource_of, stored
from tiphys.api import codec, errors, strategy
from tiphys.api.defaulting import default
from tiphys.api.strategy.services import init_ip_families
from tiphys.api.types.authentication_v1 import TokenRequest
from tiphys.api.types.core_v1 import Service
from tiphys.api.validation import validate_create, validate_update

ADMISSION = {
    "pod: init bad restartPolicy",
    "pod: negative grace",
    "pod: unknown priorityClass",
    "pod: unknown serviceAccount",
    "pod: bad overhead",
}
REGISTRY = {
    "service: clusterIP outside",
    "service: nodePort taken",
    "service: nodePort out of range",
    "crd bad cel",
    "cr wrong type",
    "scale bad",
}
LINES_DIFFER = {"pod immutable nodeSelector", "pod immutable restartPolicy"}


def rows() -> list[Any]:
    """The 422 answers to a POST or PUT of an object."""
    return [
        row
        for row in recorded("errors.json")
        if row["code"] == 422
        and row["method"] in ("POST", "PUT")
        and isinstance(row["body"], dict)
        and "?" not in row["path"]
        and row["name"] not in ADMISSION | REGISTRY
        and "DeleteOptions" not in json.dumps(row["body"])
    ]


def answer(row: dict[str, Any]) -> dict[str, Any]:
    body = row["body"]
    if row["method"] == "PUT":
        return update_answer(row)
    path = row["path"]
    if path.endswith("/token"):
        problems = validate_create(codec.from_dict(TokenRequest, body))
        return codec.to_dict(errors.invalid("TokenRequest.authentication.k8s.io", "", problems).status)
    resource, namespace = resource_of(path)
    obj: Any = default(codec.from_dict(resource.struct, expand(body)))
    if namespace:
        obj.metadata.namespace = namespace
    strategy.begin_create(obj.metadata, uid="uid", now=NOW, suffix=lambda: "*")
    strategy.prepare_create(obj, now=NOW)
    if hasattr(obj.spec if hasattr(obj, "spec") else None, "containers") and not obj.spec.service_account_name:
        obj.spec.service_account = obj.spec.service_account_name = "default"
    problems = []
    if isinstance(obj, Service):
        problems = init_ip_families(obj)
    problems = problems or validate_create(obj)
    return refusal(resource, obj, problems)


def update_answer(row: dict[str, Any]) -> dict[str, Any]:
    collection, _, name = row["path"].rpartition("/")
    resource, namespace = resource_of(collection)
    manifests = recorded("defaults.json")
    before = next(r for r in manifests if r["path"] == collection and r["stored"]["metadata"]["name"] == name)
    old: Any = codec.from_dict(resource.struct, stored(before))
    new: Any = default(codec.from_dict(resource.struct, adopt(row["body"], stored(before))))
    for obj in (old, new):
        obj.metadata.namespace, obj.metadata.resource_version, obj.metadata.uid = namespace, "1", "uid"
        obj.metadata.creation_timestamp = NOW
    strategy.begin_update(new.metadata, old.metadata)
    strategy.prepare_update(new, old)
    return refusal(resource, new, validate_update(new, old))


def adopt(body: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """The recorded body with our name of the token volume."""
    text = json.dumps(body)
    for volume in (body.get("spec") or {}).get("volumes", []):
        if volume["name"].startswith("kube-api-access-"):
            text = text.replace(volume["name"], "kube-api-access-x")
    return json.loads(text)


def expand(body: dict[str, Any]) -> dict[str, Any]:
    data = body.get("data")
    if isinstance(data, dict):
        for key, value in data.items():
            if isinstance(value, str) and value.startswith("<") and value.endswith(" times c>"):
                body = {**body, "data": {**data, key: "c" * int(value[1:].split()[0])}}
    return body


def refusal(resource: Any, obj: Any, problems: Any) -> dict[str, Any]:
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    return codec.to_dict(errors.invalid(kind, obj.metadata.name or "", problems).status)


@needs_recordings
@pytest.mark.parametrize("row", rows(), ids=[row["name"] for row in rows()])
def test_refused_as_recorded(row: dict[str, Any]) -> None:
    expected, actual = row["response"], answer(row)
    if row["name"] in LINES_DIFFER:
        # The dump upstream diffs is of its internal types: line numbers differ, the lines do not.
        assert actual["message"].splitlines()[0] == expected["message"].splitlines()[0]
        changed = [line for line in expected["message"].splitlines() if line[:1] in "+-"]
        assert [line for line in actual["message"].splitlines() if line[:1] in "+-"] == changed
        return
    assert actual["message"] == expected["message"] or same(expected["message"], actual["message"])
    assert same(expected, actual), f"\n{json.dumps(expected, sort_keys=True)}\n{json.dumps(actual, sort_keys=True)}"


@needs_recordings
def test_every_manifest_upstream_stored_is_valid() -> None:
    for row in recorded("defaults.json"):
        resource, namespace = resource_of(row["path"])
        obj: Any = codec.from_dict(resource.struct, stored(row))
        obj.metadata.namespace, obj.metadata.uid = namespace or None, "uid"
        assert [str(problem) for problem in validate_create(obj)] == [], row["path"]
