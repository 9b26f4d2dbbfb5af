"""In which form answers come: Tables, metadata only, YAML, indented, compressed; and what is refused."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
import yaml
from kubernetes import client
from kubernetes.client import ApiClient, ApiException

from tests.conformance.api.running import RunningServer

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
METADATA = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
OBJECTS = "application/json, application/yaml, application/vnd.kubernetes.protobuf"
STREAMS = "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"
MAPS = "/api/v1/namespaces/forms/configmaps"
ONE = f"{MAPS}/one"


@pytest.fixture(scope="module", autouse=True)
def forms(server: RunningServer) -> None:
    """A namespace with a ConfigMap "one"."""
    server.raw("POST", "/api/v1/namespaces", {"metadata": {"name": "forms"}})
    server.raw("POST", MAPS, {"metadata": {"name": "one", "labels": {"a": "b"}}, "data": {"k": "v"}})


def test_a_backend_without_tables(api_client: ApiClient) -> None:
    """[sig-api-machinery] Servers with support for Table transformation should return a 406 for a backend which does
    not implement metadata [Conformance]"""
    review = client.V1SelfSubjectAccessReview(
        spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=client.V1ResourceAttributes(verb="get"))
    )
    with pytest.raises(ApiException) as refused:
        client.AuthorizationV1Api(api_client).create_self_subject_access_review(review, _headers={"Accept": TABLE})
    assert refused.value.status == 406
    status = json.loads(refused.value.body)
    assert status["reason"] == "NotAcceptable"
    assert status["message"] == f"only the following media types are accepted: {OBJECTS}"


CHOICES = [
    # Accept, path, kind, media type
    ("*/*", ONE, "ConfigMap", "application/json"),
    ("application/json", ONE, "ConfigMap", "application/json"),
    ("application/json; charset=utf-8", ONE, "ConfigMap", "application/json"),
    ("application/yaml", ONE, "ConfigMap", "application/yaml"),
    ("application/yaml", MAPS, "ConfigMapList", "application/yaml"),
    ("application/json;q=0.5,application/yaml", ONE, "ConfigMap", "application/yaml"),
    ("application/yaml;q=0.5,*/*;q=0.9", ONE, "ConfigMap", "application/json"),
    ("text/html,application/xhtml+xml,*/*;q=0.8", ONE, "ConfigMap", "application/json"),
    ("application/vnd.kubernetes.protobuf,application/json", ONE, "ConfigMap", "application/json"),
    ("application/vnd.kubernetes.protobuf,*/*", MAPS, "ConfigMapList", "application/json"),
    ("application/cbor,application/json;q=0.9", ONE, "ConfigMap", "application/json"),
    (TABLE, ONE, "Table", "application/json"),
    (TABLE, MAPS, "Table", "application/json"),
    (TABLE.replace("v=v1", "v=v1beta1"), MAPS, "Table", "application/json"),
    (TABLE.replace("/json", "/yaml"), MAPS, "Table", "application/yaml"),
    (f"{TABLE},application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json", MAPS, "Table", "application/json"),
    (f"{TABLE.replace('v=v1', 'v=v2')},application/json", MAPS, "ConfigMapList", "application/json"),
    ("application/json;as=Table,application/yaml", MAPS, "ConfigMapList", "application/yaml"),
    (METADATA, ONE, "PartialObjectMetadata", "application/json"),
    (METADATA.replace("v=v1", "v=v1beta1"), ONE, "PartialObjectMetadata", "application/json"),
    (METADATA.replace("/json", "/yaml"), ONE, "PartialObjectMetadata", "application/yaml"),
    (METADATA_LIST, MAPS, "PartialObjectMetadataList", "application/json"),
    (METADATA_LIST.replace("v=v1", "v=v1beta1"), MAPS, "PartialObjectMetadataList", "application/json"),
    ("application/json;stream=watch", MAPS, "ConfigMapList", "application/json"),
    ("application/json;pretty=1", ONE, "ConfigMap", "application/json"),
]


@pytest.mark.parametrize(("accept", "path", "kind", "media_type"), CHOICES)
def test_chosen(server: RunningServer, accept: str, path: str, kind: str, media_type: str) -> None:
    answer = server.raw("GET", path, headers={"Accept": accept})
    assert (answer.status, answer.headers["content-type"]) == (200, media_type), answer.body
    data = yaml.safe_load(answer.body) if media_type == "application/yaml" else answer.json
    assert data["kind"] == kind
    if kind.startswith("Partial"):
        one = data if kind.endswith("Metadata") else data["items"][0]
        version = "v1beta1" if "v1beta1" in accept else "v1"
        assert one["apiVersion"] == f"meta.k8s.io/{version}" and one["metadata"]["labels"] == {"a": "b"}
        assert set(one) == {"kind", "apiVersion", "metadata"}


ROUTER = "406: Not Acceptable\n\nAvailable representations: "
CODEC = "only the following media types are accepted: "
REFUSED = [
    ("GET", ONE, "text/xml", ROUTER + OBJECTS),
    ("GET", ONE, "application/*", ROUTER + OBJECTS),
    ("GET", ONE, "application/cbor", ROUTER + OBJECTS),
    ("GET", MAPS, "text/xml", f"{ROUTER}{OBJECTS}, {STREAMS}"),
    ("GET", f"{MAPS}?watch=1", "application/cbor-seq", f"{ROUTER}{OBJECTS}, {STREAMS}"),
    ("DELETE", MAPS, "text/xml", f"{ROUTER}{OBJECTS}, {STREAMS}"),
    ("POST", MAPS, "text/xml", ROUTER + OBJECTS),
    ("PUT", ONE, "text/xml", ROUTER + OBJECTS),
    ("DELETE", ONE, "text/xml", ROUTER + OBJECTS),
    ("GET", ONE, TABLE.replace("v=v1", "v=v2"), CODEC + OBJECTS),
    ("GET", ONE, TABLE.replace("meta.k8s.io", "other"), CODEC + OBJECTS),
    ("GET", ONE, "application/json;as=Table", CODEC + OBJECTS),
    ("GET", ONE, "application/json;as=Chair;v=v1;g=meta.k8s.io", CODEC + OBJECTS),
    ("GET", ONE, "application/json;stream=tv", CODEC + OBJECTS),
    (
        *("GET", ONE, METADATA_LIST),
        "you requested PartialObjectMetadataList, but the requested object is not a list (*core.ConfigMap)",
    ),
    (
        *("GET", MAPS, METADATA),
        "you requested PartialObjectMetadata, but the requested object is a list (*core.ConfigMapList)",
    ),
    ("GET", f"{MAPS}?watch=1", TABLE.replace("/json", "/yaml"), CODEC + STREAMS),
]


@pytest.mark.parametrize(("method", "path", "accept", "message"), REFUSED)
def test_refused(server: RunningServer, method: str, path: str, accept: str, message: str) -> None:
    body = {"metadata": {"name": "refused"}} if method in ("POST", "PUT") else None
    answer = server.raw(method, path, body, {"Accept": accept})
    status = yaml.safe_load(answer.body)
    assert (answer.status, status["reason"], status["message"]) == (406, "NotAcceptable", message)
    assert server.raw("GET", f"{MAPS}/refused").status == 404 and server.raw("GET", ONE).status == 200


@pytest.mark.parametrize(
    ("include", "shown"),
    [("", "PartialObjectMetadata"), ("Metadata", "PartialObjectMetadata"), ("Object", "ConfigMap"), ("None", "")],
)
@pytest.mark.parametrize("path", [ONE, MAPS])
def test_tables_carry_what_is_asked_for(server: RunningServer, path: str, include: str, shown: str) -> None:
    table = server.raw("GET", f"{path}?includeObject={include}", headers={"Accept": TABLE}).json
    (row,) = table["rows"]
    assert row["cells"][:2] == ["one", 1]
    assert row["object"] is None if not shown else row["object"]["kind"] == shown
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert table["metadata"]["resourceVersion"]


def test_tables_cannot_carry_other_things(server: RunningServer) -> None:
    wanted = (
        "Unable to convert to Table as requested: includeObject: Invalid value: \"All\": must be 'Metadata', "
        "'Object', 'None', or empty"
    )
    for path in (f"{ONE}?", f"{MAPS}?", f"{MAPS}?watch=1&"):
        answer = server.raw("GET", f"{path}includeObject=All", headers={"Accept": TABLE})
        assert (answer.status, answer.reason, answer.message) == (400, "BadRequest", wanted)
        assert path.endswith("watch=1&") or server.raw("GET", f"{path}includeObject=All").status == 200


def test_watched_tables_have_their_columns_once(server: RunningServer) -> None:
    path = f"{MAPS}?watch=1&allowWatchBookmarks=true&includeObject=None"
    with server.watch(path, {"Accept": TABLE}) as stream:
        first, end = stream.next(), stream.next()
        server.raw("POST", MAPS, {"metadata": {"name": "two"}})
        added = stream.next()
    server.raw("DELETE", f"{MAPS}/two")
    assert [first["type"], end["type"], added["type"]] == ["ADDED", "BOOKMARK", "ADDED"]
    assert len(first["object"]["columnDefinitions"]) == 3 and first["object"]["rows"][0]["object"] is None
    assert added["object"]["columnDefinitions"] is None and added["object"]["rows"][0]["cells"][0] == "two"
    # The end of the state is told by an annotation, so its row has metadata whatever was asked for.
    assert end["object"]["kind"] == "Table"
    assert end["object"]["rows"][0]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


def test_watched_metadata(server: RunningServer) -> None:
    with server.watch(f"{MAPS}?watch=1&allowWatchBookmarks=true", {"Accept": METADATA}) as stream:
        added, end = stream.next(), stream.next()
    assert added["object"]["kind"] == end["object"]["kind"] == "PartialObjectMetadata"
    assert set(added["object"]) == {"kind", "apiVersion", "metadata"} and end["type"] == "BOOKMARK"


def every_stored_path(server: RunningServer) -> list[str]:
    groups = server.raw("GET", "/apis").json["groups"]
    roots = ["/api/v1", *(f"/apis/{group['preferredVersion']['groupVersion']}" for group in groups)]
    return [
        f"{root}/{resource['name']}"
        for root in roots
        for resource in server.raw("GET", root).json["resources"]
        if "/" not in resource["name"] and {"list", "watch"} <= set(resource["verbs"])
    ]


def test_every_kind_is_listed_and_watched_in_every_form(server: RunningServer) -> None:
    paths = every_stored_path(server)
    assert len(paths) > 55
    for path in paths:
        table = server.raw("GET", path, headers={"Accept": TABLE})
        assert table.status == 200 and table.json["kind"] == "Table", path
        partial = server.raw("GET", path, headers={"Accept": METADATA_LIST})
        assert partial.status == 200 and partial.json["kind"] == "PartialObjectMetadataList", path
        end: Any = {"type": ""}
        with server.watch(f"{path}?watch=1&allowWatchBookmarks=true", {"Accept": TABLE}) as stream:
            while end["type"] != "BOOKMARK":
                end = stream.next()
        assert end["object"]["kind"] == "Table", path


def test_bodies_in_yaml_and_answers_in_yaml(server: RunningServer) -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: told\ndata:\n  number: '1'\n  multi: |\n    a\n    b\n"
    headers = {"Content-Type": "application/yaml", "Accept": "application/yaml"}
    answer = server.raw("POST", MAPS, text, headers)
    assert (answer.status, answer.headers["content-type"]) == (201, "application/yaml")
    assert yaml.safe_load(answer.body)["data"] == {"number": "1", "multi": "a\nb\n"}
    again = server.raw("POST", MAPS, text, headers)
    assert (again.status, again.headers["content-type"]) == (409, "application/yaml")
    assert yaml.safe_load(again.body)["reason"] == "AlreadyExists"
    server.raw("DELETE", f"{MAPS}/told")


@pytest.mark.parametrize("content_type", ["text/plain", "application/cbor", "application/json-patch+json", "nonsense"])
def test_bodies_of_other_types(server: RunningServer, content_type: str) -> None:
    answer = server.raw("POST", MAPS, b"{}", {"Content-Type": content_type})
    assert (answer.status, answer.reason) == (415, "UnsupportedMediaType")
    assert answer.message == (
        f"the body of the request was in an unknown format - accepted media types include: {OBJECTS}"
    )


@pytest.mark.parametrize(
    ("query", "agent", "pretty"),
    [
        ("", "kubectl", False),
        ("?pretty=true", "kubectl", True),
        ("?pretty=1", "kubectl", True),
        ("?pretty=false", "curl/8.0", False),
        ("?pretty=0", "Mozilla/5.0 (X11)", False),
        ("", "curl/8.0", True),
        ("", "Wget/1.2", True),
        ("", "Mozilla/5.0 (X11)", True),
    ],
)
def test_people_get_it_indented(server: RunningServer, query: str, agent: str, pretty: bool) -> None:
    for path in (ONE, MAPS, f"{MAPS}/nope", "/api/v1", "/apis"):
        answer = server.raw("GET", f"{path}{query}", headers={"User-Agent": agent})
        assert answer.body.startswith(b'{\n  "kind": ') is pretty, (path, answer.body[:40])
        assert answer.json["kind"]


def test_large_answers_are_compressed_if_wanted(server: RunningServer) -> None:
    for number in range(3):
        server.raw("POST", MAPS, {"metadata": {"name": f"big{number}"}, "data": {"x": "z" * 60_000}})
    plain = server.raw("GET", MAPS)
    assert "content-encoding" not in plain.headers and len(plain.body) > 128 * 1024
    for accept in ("gzip", "deflate, gzip", "br , gzip"):
        answer = server.raw("GET", MAPS, headers={"Accept-Encoding": accept})
        assert answer.headers["content-encoding"] == "gzip" and "Accept-Encoding" in answer.headers["vary"]
        assert len(answer.body) < len(plain.body) / 20
        assert json.loads(gzip.decompress(answer.body))["items"] == plain.json["items"]
    pretty = server.raw("GET", f"{MAPS}?pretty=1", headers={"Accept-Encoding": "gzip"})
    assert gzip.decompress(pretty.body).startswith(b'{\n  "kind": ')
    for headers in ({"Accept-Encoding": "gzip;q=1"}, {"Accept-Encoding": "identity"}):
        assert "content-encoding" not in server.raw("GET", MAPS, headers=headers).headers
    small = server.raw("GET", ONE, headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in small.headers
    with server.watch(f"{MAPS}?watch=1", {"Accept-Encoding": "gzip"}) as stream:
        assert stream.response.getheader("Content-Encoding") is None and stream.next()["type"] == "ADDED"
    for number in range(3):
        server.raw("DELETE", f"{MAPS}/big{number}")


def test_a_scale_is_shown_as_a_table(server: RunningServer) -> None:
    body = {
        "metadata": {"name": "d"},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"a": "b"}},
            "template": {
                "metadata": {"labels": {"a": "b"}},
                "spec": {"containers": [{"name": "c", "image": "i"}]},
            },
        },
    }
    path = "/apis/apps/v1/namespaces/forms/deployments"
    assert server.raw("POST", path, body).status == 201
    table = server.raw("GET", f"{path}/d/scale", headers={"Accept": TABLE}).json
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Desired", "Available", "Age"]
    assert table["rows"][0]["cells"][:3] == ["d", 3, 0]
    shown = server.kubectl("get", "deployment", "d", "-n", "forms", "--subresource", "scale").stdout.split()
    assert shown[:7] == ["NAME", "DESIRED", "AVAILABLE", "AGE", "d", "3", "0"]
