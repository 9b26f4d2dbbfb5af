from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tiphys.api import scheme
from tiphys.api.errors import ApiError
from tiphys.apiserver.openapi import OpenApi
from tiphys.base.http.messages import Headers, Request, Response

_POD = "io.k8s.api.core.v1.Pod"


@pytest.fixture(scope="module")
def server() -> OpenApi:
    return OpenApi()


def _get(server: OpenApi, target: str, *headers: tuple[bytes, bytes]) -> Response:
    return server.handle(Request("GET", target.encode(), Headers(headers)))


def _json(server: OpenApi, target: str) -> Any:
    return json.loads(_get(server, target).body)


def _references(value: Any, found: set[str]) -> set[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            found.add(value["$ref"])
        for item in value.values():
            _references(item, found)
    elif isinstance(value, list):
        for item in value:
            _references(item, found)
    return found


def test_nothing_is_built_before_it_is_asked_for(server: OpenApi) -> None:
    index = _json(OpenApi(), "/openapi/v3")
    assert index["paths"]["apis/apps/v1"]["serverRelativeURL"].startswith("/openapi/v3/apis/apps/v1?hash=")
    assert set(index["paths"]) == {path.removeprefix("/openapi/v3/") for path in server.paths if path.count("/") > 2}


def test_every_reference_resolves(server: OpenApi) -> None:
    for root in _json(server, "/openapi/v3")["paths"]:
        document = _json(server, f"/openapi/v3/{root}")
        names = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
        assert _references(document, set()) <= names, root
    document = _json(server, "/openapi/v2")
    assert _references(document, set()) <= {f"#/definitions/{name}" for name in document["definitions"]}


def test_what_kubectl_looks_for(server: OpenApi) -> None:
    document = _json(server, "/openapi/v3/api/v1")
    patch = document["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"]
    assert patch["x-kubernetes-group-version-kind"] == {"group": "", "version": "v1", "kind": "Pod"}
    assert patch["x-kubernetes-action"] == "patch"
    assert "application/strategic-merge-patch+json" in patch["requestBody"]["content"]
    assert {"dryRun", "fieldValidation", "fieldManager", "force"} <= {p["name"] for p in patch["parameters"]}
    schema = document["components"]["schemas"][_POD]
    assert schema["x-kubernetes-group-version-kind"] == [{"group": "", "kind": "Pod", "version": "v1"}]
    containers = document["components"]["schemas"]["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert containers["x-kubernetes-patch-merge-key"] == "name"
    assert document["paths"]["/api/v1/pods"]["get"]["x-kubernetes-action"] == "list"


def test_operation_ids_are_unique(server: OpenApi) -> None:
    paths = _json(server, "/openapi/v2")["paths"].values()
    found = [operation["operationId"] for path in paths for operation in path.values() if isinstance(operation, dict)]
    assert len(found) == len(set(found))
    assert {"listCoreV1NamespacedPod", "readAppsV1NamespacedDeploymentScale", "createCoreV1Namespace"} <= set(found)


def test_hashes_make_documents_immutable(server: OpenApi) -> None:
    target = _json(server, "/openapi/v3")["paths"]["apis/batch/v1"]["serverRelativeURL"]
    answer = _get(server, target)
    headers = dict(answer.headers)
    assert b"immutable" in headers[b"Cache-Control"]
    again = _get(server, "/openapi/v3/apis/batch/v1", (b"if-none-match", headers[b"ETag"]))
    assert again.status == 304
    moved = _get(server, "/openapi/v3/apis/batch/v1?hash=OLD")
    assert (moved.status, dict(moved.headers)[b"Location"]) == (301, target.encode())


def test_compressed_if_the_client_can(server: OpenApi) -> None:
    plain = _get(server, "/openapi/v3/apis/apps/v1")
    packed = _get(server, "/openapi/v3/apis/apps/v1", (b"accept-encoding", b"gzip"))
    assert dict(packed.headers)[b"Content-Encoding"] == b"gzip"
    assert gzip.decompress(packed.body) == plain.body


def test_refusals(server: OpenApi) -> None:
    for target in ("/openapi/v3/apis/none/v1", "/openapi/v4"):
        with pytest.raises(ApiError) as caught:
            _get(server, target)
        assert caught.value.code == 404
    with pytest.raises(ApiError) as caught:
        _get(server, "/openapi/v3/api/v1", (b"accept", b"application/com.github.proto-openapi.spec.v3@v1.0+protobuf"))
    assert caught.value.code == 406


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """(number, content) of a message's length-delimited fields; the only others are varints, which are passed over."""

    def varint(at: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            value |= (message[at] & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if message[at - 1] < 0x80:
                return value, at

    at = 0
    while at < len(message):
        key, at = varint(at)
        size, at = varint(at)
        if key & 7 == 2:
            yield key >> 3, message[at : at + size]
            at += size


def test_version_2_comes_in_protobuf_as_kubectl_asks_for_it(server: OpenApi) -> None:
    accept = (b"accept", b"application/com.github.proto-openapi.spec.v2@v1.0+protobuf")
    answer = _get(server, "/openapi/v2", accept)
    assert answer.content_type == "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
    document = dict(_fields(answer.body))
    assert document[1] == b"2.0"
    definitions = {}
    for _, entry in _fields(document[9]):
        pair = dict(_fields(entry))
        definitions[pair[1].decode()] = pair[2]
    config_map = list(_fields(definitions["io.k8s.api.core.v1.ConfigMap"]))
    properties = [dict(_fields(entry)) for _, entry in _fields(dict(config_map)[25])]
    assert {"apiVersion", "kind", "metadata", "data", "binaryData", "immutable"} == {p[1].decode() for p in properties}
    metadata = next(p[2] for p in properties if p[1] == b"metadata")
    assert b"#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta" in metadata
    extensions = [dict(_fields(content)) for number, content in config_map if number == 31]
    kinds = next(dict(_fields(e[2]))[2] for e in extensions if e[1] == b"x-kubernetes-group-version-kind")
    assert b'"kind":"ConfigMap"' in kinds.replace(b" ", b"")


def test_resources_may_change() -> None:
    server = OpenApi()
    before = _json(server, "/openapi/v3")["paths"]
    server.replace([resource for resource in scheme.RESOURCES if resource.group != "batch"])
    after = _json(server, "/openapi/v3")["paths"]
    assert set(before) - set(after) == {"apis/batch", "apis/batch/v1"}
