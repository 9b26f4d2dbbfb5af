"""Unknown and repeated fields, and values of the wrong type, named as upstream names them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.api_defaulting.reference import needs_recordings, recorded
from tests.unit.api_defaulting.test_recorded_defaults import resource_of
from tiphys.api import strict
from tiphys.api.go_types import parse_error, type_error
from tiphys.api.types.apps_v1 import Deployment
from tiphys.api.types.core_v1 import ConfigMap, Pod

POD = {"metadata": {"name": "a", "labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"spec":{}}', []),
        (b'{"spec":null,"metadata":null}', []),
        (b'{"bogus":1}', ['unknown field "bogus"']),
        (b'{"spec":{"containers":[{},{"imagee":"x"}]}}', ['unknown field "spec.containers[1].imagee"']),
        (b'{"Spec":{}}', ['unknown field "Spec"']),
        (b'{"spec":{},"spec":{}}', ['duplicate field "spec"']),
        (b'{"spec":{},"spec":{},"spec":{}}', ['duplicate field "spec"']),
        (b'{"metadata":{"labels":{"a":"1","a":"2"}}}', ['duplicate field "metadata.labels.a"']),
        (b'{"metadata":{"labels":{"a":"\\":","b" : "2"}}}', []),
        (
            b'{"spec":{"x":1,"y":1,"y":2,"hostname":"a","hostname":"b","z":1}}',
            [
                'unknown field "spec.x"',
                'unknown field "spec.y"',
                'duplicate field "spec.hostname"',
                'unknown field "spec.z"',
            ],
        ),
        (b'{"spec":{"bogus":{"deeper":1}}}', ['unknown field "spec.bogus"']),
        (b'{"metadata":{"managedFields":[{"fieldsV1":{"f:any":{}}}]}}', []),
    ],
)
def test_findings(body: bytes, found: list[str]) -> None:
    findings = strict.inspect(Pod, body)
    assert list(findings.all) == found
    assert list(findings.unknown) == [text for text in found if text.startswith("unknown")]


def test_members_of_maps_are_free() -> None:
    assert strict.inspect(ConfigMap, b'{"data":{"anything":"x","goes.here":"y"}}') == strict.NOTHING


def test_malformed_bodies_are_for_others_to_refuse() -> None:
    assert strict.inspect(Pod, b"{nope") == strict.NOTHING


def test_repeats_in_bodies_of_no_known_kind() -> None:
    assert strict.inspect_text(b'{"spec":{"a":1,"a":2},"l":[{"x":1,"x":1}]}') == (
        'duplicate field "spec.a"',
        'duplicate field "l[0].x"',
    )


def test_repeats_in_yaml_are_named_by_line() -> None:
    text = b"a: 1\nspec:\n  x: 1\n  y: [{z: 1, z: 2}]\n  x: 2\n"
    assert strict.inspect_yaml(text) == (
        'yaml: unmarshal errors:\n  line 4: key "z" already set in map\n  line 5: key "x" already set in map'
    )
    assert strict.inspect_yaml(b"a: {b: 1}\nc: {b: 1}\n") == ""
    assert strict.inspect_yaml(b"a: [") == strict.inspect_yaml(b"") == ""


@pytest.mark.parametrize(
    ("kind", "data", "words"),
    [
        (
            Pod,
            {"spec": {"terminationGracePeriodSeconds": "ten"}},
            "string|PodSpec.spec.terminationGracePeriodSeconds|int64",
        ),
        (Pod, {"spec": {"containers": {"a": 1}}}, "object|PodSpec.spec.containers|[]v1.Container"),
        (Pod, {"spec": {"containers": [{"image": 5}]}}, "number|Container.spec.containers.image|string"),
        (Pod, {"metadata": {"name": True}}, "bool|ObjectMeta.metadata.name|string"),
        (Pod, {"metadata": {"labels": {"a": 1}}}, "number|ObjectMeta.metadata.labels|string"),
        (Pod, {"metadata": []}, "array|Pod.metadata|v1.ObjectMeta"),
        (Deployment, {"spec": {"replicas": 1.5}}, "number 1.5|DeploymentSpec.spec.replicas|int32"),
        (Deployment, {"spec": {"replicas": 2**31}}, "number 2147483648|DeploymentSpec.spec.replicas|int32"),
        (Deployment, {"spec": {"paused": "yes"}}, "string|DeploymentSpec.spec.paused|bool"),
    ],
)
def test_wrong_types(kind: Any, data: Any, words: str) -> None:
    found, field, wanted = words.split("|")
    assert type_error(kind, data) == f"json: cannot unmarshal {found} into Go struct field {field} of type {wanted}"


def test_what_fits_is_not_reported() -> None:
    assert type_error(Pod, POD) == ""
    assert type_error(Pod, {"spec": {"unknown": 1, "hostname": None}}) == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"{nope", "invalid character 'n' looking for beginning of object key string"),
        (b'{"a":1,}', "invalid character '}' looking for beginning of object key string"),
        (b'{"a" 1}', "invalid character '1' after object key"),
        (b'{"a":1 "b"}', "invalid character '\"' after object key:value pair"),
        (b"[1 2]", "invalid character '2' after array element"),
        (b'{"a":tru}', "invalid character '}' in literal true (expecting 'e')"),
        (b'{"a":"\n"}', r"invalid character '\n' in string literal"),
        (b'{"a":"\\x"}', "invalid character 'x' in string escape code"),
        (b'{"a":1.}', "invalid character '}' after decimal point in numeric literal"),
        (b'{"a":-}', "invalid character '}' in numeric literal"),
        (b'{"a":', "unexpected end of JSON input"),
        (b"", "unexpected end of JSON input"),
        (b"{}x", "invalid character 'x' after top-level value"),
    ],
)
def test_malformed_json(text: bytes, message: str) -> None:
    assert parse_error(text) == message


@needs_recordings
def test_nothing_is_found_in_recorded_manifests() -> None:
    for row in recorded("defaults.json"):
        resource, _ = resource_of(row["path"])
        for obj in (row["input"], row["stored"]):
            assert strict.inspect(resource.struct, json.dumps(obj).encode()) == strict.NOTHING, row["path"]
