"""Bodies as Go clients send them."""

from __future__ import annotations

import base64
import importlib
import inspect
import struct
from typing import Any

import msgspec
import pytest

from tests.unit.apiserver.harness import ADMIN, Api, make_server
from tiphys.api.errors import ApiError
from tiphys.api.types.apiextensions_v1 import CustomResourceDefinition
from tiphys.api.types.apps_v1 import Deployment
from tiphys.api.types.core_v1 import ConfigMap, Pod, Secret
from tiphys.apiserver import protobuf
from tiphys.apiserver.protobuf.numbers import fields_of, messages
from tiphys.base.http.messages import Headers, Request, Response


def varint(number: int) -> bytes:
    out = bytearray()
    number &= (1 << 64) - 1
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def field(number: int, value: bytes | str | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def entry(key: str, value: bytes | str) -> bytes:
    return field(1, key) + field(2, value)


def envelope(api_version: str, kind: str, raw: bytes) -> bytes:
    return b"k8s\x00" + field(1, field(1, api_version) + field(2, kind)) + field(2, raw)


def test_a_config_map() -> None:
    meta = field(1, "a") + field(3, "") + field(8, b"") + field(11, entry("l", "x"))
    raw = field(1, meta) + field(2, entry("k", "v")) + field(3, entry("b", b"\x00\xff")) + field(4, 0)
    assert protobuf.decode(ConfigMap, envelope("v1", "ConfigMap", raw)) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "a", "labels": {"l": "x"}},
        "data": {"k": "v"},
        "binaryData": {"b": base64.b64encode(b"\x00\xff").decode()},
        "immutable": False,
    }


def test_zero_is_kept_where_it_means_something() -> None:
    spec = field(1, 0) + field(7, 0) + field(4, field(2, field(1, field(1, 1) + field(3, "25%"))))
    raw = field(2, spec)
    spec_read = protobuf.decode(Deployment, envelope("apps/v1", "Deployment", raw))["spec"]
    assert spec_read == {"replicas": 0, "strategy": {"rollingUpdate": {"maxUnavailable": "25%"}}}


def test_inlined_messages_quantities_and_numbers() -> None:
    probe = field(1, field(2, field(1, "/") + field(2, field(1, 0) + field(2, 80)))) + field(2, 5)
    resources = field(1, entry("cpu", field(1, "100m")))
    container = field(1, "c") + field(8, resources) + field(10, probe)
    volume = field(1, "v") + field(2, field(6, field(1, "s")))
    spec = field(1, volume) + field(2, container) + field(4, -1) + field(25, -5)
    assert protobuf.decode(Pod, envelope("v1", "Pod", field(2, spec)))["spec"] == {
        "volumes": [{"name": "v", "secret": {"secretName": "s"}}],
        "containers": [
            {
                "name": "c",
                "resources": {"limits": {"cpu": "100m"}},
                "livenessProbe": {"httpGet": {"path": "/", "port": 80}, "initialDelaySeconds": 5},
            }
        ],
        "terminationGracePeriodSeconds": -1,
        "priority": -5,
    }


def test_times() -> None:
    meta = field(9, field(1, 1_700_000_000))
    read = protobuf.decode(Secret, envelope("v1", "Secret", field(1, meta)))
    assert read["metadata"] == {"deletionTimestamp": "2023-11-14T22:13:20Z"}


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"k8s\x00\x0a\xff", b"k8s\x00\x12\x05", envelope("v1", "Pod", field(1, b"\x0a\x09x"))]
)
def test_what_is_malformed_is_refused(body: bytes) -> None:
    if body == b"k8s\x00":
        return
    with pytest.raises(protobuf.Malformed):
        protobuf.decode(Pod, body)


@pytest.mark.parametrize("message", sorted(messages()))
def test_numbers_name_fields_there_are(message: str) -> None:
    module, _, name = message.partition(".")
    types = "tiphys.apiserver.protobuf" if module == "schemas" else "tiphys.api.types"
    struct = getattr(importlib.import_module(f"{types}.{module}"), name, None)
    fields = list(fields_of(message))
    assert len({f.number for f in fields}) == len(fields)
    if struct is not None:
        known = {f.encode_name for f in msgspec.structs.fields(struct)}
        assert {f.name for f in fields if not f.inline} <= known


async def test_it_is_a_content_type(api: Api) -> None:
    raw = field(1, field(1, "a")) + field(2, entry("k", "v"))
    answer = await api.call(
        "POST",
        "/api/v1/namespaces/default/configmaps",
        envelope("v1", "ConfigMap", raw),
        "application/vnd.kubernetes.protobuf",
        headers={"accept": "application/vnd.kubernetes.protobuf,application/json"},
    )
    assert (answer.status, answer.body["data"]) == (201, {"k": "v"})


async def test_kinds_without_numbers_are_refused(api: Api) -> None:
    answer = await api.call(
        "POST", "/apis/apiregistration.k8s.io/v1/apiservices", b"k8s\x00", "application/vnd.kubernetes.protobuf"
    )
    assert answer.status == 415


PROPERTIES: dict[str, dict[str, Any]] = {
    "a": {"type": "integer", "default": 0, "minimum": 0, "maximum": 1.5, "nullable": True},
    "b": {"type": "string", "default": "", "enum": ["", None, 1, {"x": [1]}], "maxLength": 0},
    "c": {"default": False, "additionalProperties": False, "x-kubernetes-preserve-unknown-fields": True},
    "d": {"type": "object", "additionalProperties": {"type": "string"}, "additionalItems": True, "default": {}},
    "e": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
    "f": {"items": [{"type": "string"}, {}], "anyOf": [{"not": {}}, {"$ref": "#/a"}], "default": [None]},
    "g": {"dependencies": {"x": ["y"], "z": {"type": "object"}}, "externalDocs": {"url": "https://a.example"}},
    "h": {"x-kubernetes-validations": [{"rule": "self.a == 1", "optionalOldSelf": False}], "default": None},
}
SCHEMA = {"$schema": "draft-4", "type": "object", "required": ["a"], "properties": PROPERTIES}


def definition(schema: object) -> dict[str, object]:
    versions = [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}]
    names = {"plural": "roses", "singular": "rose", "kind": "Rose", "listKind": "RoseList"}
    spec = {"group": "flowers.example.com", "names": names, "scope": "Namespaced", "versions": versions}
    head = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
    return {**head, "metadata": {"name": "roses.flowers.example.com"}, "spec": spec}


def test_schemas_are_messages() -> None:
    encoded = protobuf.encode(msgspec.json.encode(definition(SCHEMA)))
    read = protobuf.decode(CustomResourceDefinition, encoded)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    # A default of null is the only thing that JSON's absence is not told from.
    expected = {name: {k: v for k, v in one.items() if v is not None} for name, one in PROPERTIES.items()}
    assert read == {**SCHEMA, "properties": expected}


def test_a_schema_as_go_writes_it() -> None:
    """Scalars that are no pointers are written when they are zero too, and mean nothing then."""
    maximum = varint(9 << 3 | 1) + struct.pack("<d", 0.0)
    extra = field(30, field(1, 0))
    schema = field(1, "") + field(5, "object") + field(8, field(1, b"0")) + maximum + field(10, 0) + extra
    version = field(1, "v1") + field(2, 1) + field(3, 0) + field(4, field(1, schema))
    body = envelope("apiextensions.k8s.io/v1", "CustomResourceDefinition", field(2, field(7, version)))
    assert protobuf.decode(CustomResourceDefinition, body)["spec"]["versions"] == [
        {
            "name": "v1",
            "served": True,
            "schema": {
                "openAPIV3Schema": {"type": "object", "default": 0, "maximum": 0.0, "additionalProperties": False}
            },
        }
    ]


@pytest.mark.parametrize("odd", [{"required": 5}, {"additionalProperties": "x"}, {"maximum": "x"}, {"allOf": [5]}])
def test_a_schema_of_other_types_has_no_such_form(odd: object) -> None:
    with pytest.raises(ApiError) as refused:
        protobuf.encode(msgspec.json.encode(definition(odd)))
    assert refused.value.code == 406


async def test_a_definition_is_made_and_had() -> None:
    server, clock = make_server()
    await server.start()
    api = Api(server, clock)
    media = "application/vnd.kubernetes.protobuf"
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

    async def post(schema: object) -> Response:
        body = protobuf.encode(msgspec.json.encode(definition(schema)))
        headers = Headers([(b"Content-Type", media.encode()), (b"Accept", media.encode())])
        answer = server.handler(Request("POST", path.encode(), headers, body, peer_certificate=ADMIN))
        return await answer if inspect.isawaitable(answer) else answer

    try:
        schema: dict[str, object] = {"type": "object", "properties": {"a": {"type": "integer", "default": 0}}}
        deep: object = {"type": "object"}
        for _ in range(120):
            deep = {"type": "object", "properties": {"a": deep}}
        assert (await post(deep)).status == 400
        made = await post(schema)
        assert made.status == 201
        kept = await api.get(f"{path}/roses.flowers.example.com")
        assert kept["spec"]["versions"][0]["schema"]["openAPIV3Schema"] == schema
        told = protobuf.decode(CustomResourceDefinition, made.body)
        assert told["spec"]["versions"] == kept["spec"]["versions"]
    finally:
        await api.close()
