"""A client that takes nothing but protobuf can live with this server, for every built-in kind there are numbers of."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

import pytest

from tests.conformance.api.running import Answer, RunningServer
from tests.conformance.coverage.bodies import MANIFESTS, manifest_of
from tests.conformance.kinds.bodies import BODIES
from tiphys.api.scheme import RESOURCES
from tiphys.api.types.core_v1 import ConfigMap
from tiphys.api.types.meta_v1 import Status
from tiphys.apiserver import protobuf

ONLY = {"Accept": "application/vnd.kubernetes.protobuf"}
KINDS = {f"{resource.api_version}/{resource.kind}": resource for resource in RESOURCES}
WITHOUT = {"apiregistration.k8s.io/v1/APIService"}
Raw = Callable[..., Answer]


def pruned(value: Any) -> Any:
    """Without what protobuf does not tell from its absence."""
    if isinstance(value, dict):
        found = {name: pruned(item) for name, item in value.items()}
        return {name: item for name, item in found.items() if item not in (None, "", [], False)}
    return [pruned(item) for item in value] if isinstance(value, list) else value


def fields(data: bytes) -> list[tuple[int, bytes]]:
    """The fields with a length of a message that has no others."""
    found, at = [], 0
    while at < len(data):
        number, length, at = data[at] >> 3, data[at + 1], at + 2
        if length > 0x7F:
            length, at = length & 0x7F | data[at] << 7, at + 1
        found.append((number, data[at : at + length]))
        at += length
    return found


def one(number: int, data: bytes) -> bytes:
    return next(content for place, content in fields(data) if place == number)


@pytest.mark.parametrize("kind", sorted(({*BODIES, *MANIFESTS} & KINDS.keys()) - WITHOUT))
def test_what_is_written_is_read_again(kind: str) -> None:
    manifest = manifest_of(kind, "coverage" if KINDS[kind].namespaced else "")
    encoded = protobuf.encode(json.dumps(manifest).encode())
    assert pruned(protobuf.decode(KINDS[kind].struct, encoded)) == pruned(manifest)


def test_all_kinds_have_numbers() -> None:
    """All but one, whose definition is in a package that no client of ours carries."""
    assert {key for key, resource in KINDS.items() if not protobuf.knows(resource.struct)} == WITHOUT


def test_objects_are_sent_and_answered(raw: Raw, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}}
    sent = protobuf.encode(json.dumps(body).encode())
    made = raw("POST", path, sent, {**ONLY, "Content-Type": "application/vnd.kubernetes.protobuf"})
    assert (made.status, made.headers["content-type"]) == (201, "application/vnd.kubernetes.protobuf")
    assert protobuf.decode(ConfigMap, made.body)["data"] == {"k": "v"}
    read = raw("GET", f"{path}/a", None, ONLY)
    assert protobuf.decode(ConfigMap, read.body) == protobuf.decode(ConfigMap, made.body)
    listed = raw("GET", path, None, ONLY)
    unknown = listed.body.removeprefix(b"k8s\0")
    assert [content for _, content in fields(one(1, unknown))] == [b"v1", b"ConfigMapList"]
    items = [content for number, content in fields(one(2, unknown)) if number == 2]
    assert [one(1, one(1, item)) for item in items] == [b"a"]


def test_json_is_preferred_where_it_is_accepted(raw: Raw, namespace: str) -> None:
    both = {"Accept": "application/vnd.kubernetes.protobuf,application/json"}
    assert raw("GET", f"/api/v1/namespaces/{namespace}", None, both).headers["content-type"] == "application/json"


def test_refusals_are_answered_so_too(raw: Raw, namespace: str) -> None:
    refused = raw("GET", f"/api/v1/namespaces/{namespace}/configmaps/none", None, ONLY)
    assert (refused.status, refused.headers["content-type"]) == (404, "application/vnd.kubernetes.protobuf")
    status = protobuf.decode(Status, refused.body)
    assert (status["kind"], status["reason"], status["code"]) == ("Status", "NotFound", 404)


def test_metadata_of_a_kind_without_numbers(raw: Raw) -> None:
    only = {"Accept": "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}
    listed = raw("GET", "/apis/apiregistration.k8s.io/v1/apiservices", None, only)
    unknown = listed.body.removeprefix(b"k8s\0")
    assert listed.status == 200
    assert [content for _, content in fields(one(1, unknown))] == [b"meta.k8s.io/v1", b"PartialObjectMetadataList"]


@pytest.mark.parametrize("query", ["", "?watch=1"])
def test_a_kind_without_numbers_is_not_acceptable(raw: Raw, query: str) -> None:
    refused = raw("GET", f"/apis/apiregistration.k8s.io/v1/apiservices{query}", None, ONLY)
    assert refused.status == 406
    assert b"ask for application/json" in refused.body


def test_tables_are_not_acceptable(raw: Raw) -> None:
    only = {"Accept": "application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1"}
    assert raw("GET", "/api/v1/namespaces", None, only).status == 406


def test_watch_events_have_their_length_before_them(server: RunningServer, raw: Raw, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    with server.watch(f"{path}?watch=1&timeoutSeconds=5", ONLY) as stream:
        assert stream.response.getheader("content-type") == protobuf.STREAM_TYPE
        raw("POST", path, {"metadata": {"name": "seen"}, "data": {"k": "v"}})
        (length,) = struct.unpack(">I", stream.response.read(4))
        event = stream.response.read(length)
        assert one(1, event) == b"ADDED"
        seen = protobuf.decode(ConfigMap, one(1, one(2, event)))
        assert (seen["kind"], seen["metadata"]["name"], seen["data"]) == ("ConfigMap", "seen", {"k": "v"})
