"""Bodies as Go clients send them."""

from __future__ import annotations

import base64
import importlib

import msgspec
import pytest

from tests.unit.apiserver.harness import Api
from tiphys.api.types.apps_v1 import Deployment
from tiphys.api.types.core_v1 import ConfigMap, Pod, Secret
from tiphys.apiserver import protobuf
from tiphys.apiserver.protobuf.numbers import fields_of, messages


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
    struct = getattr(importlib.import_module(f"tiphys.api.types.{module}"), name, None)
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
