from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tiphys.api import scheme
from tiphys.api.errors import ApiError
from tiphys.apiserver.discovery import Discovery
from tiphys.base.http.messages import Headers, Request, Response

_FILE = Path(__file__).resolve().parents[4] / "shared" / "reference" / "discovery.json"
_AGGREGATED = b"application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_KUBECTL = _AGGREGATED + b"," + _AGGREGATED.replace(b"v2", b"v2beta1") + b",application/json"


def _get(path: str, *headers: tuple[bytes, bytes], server: Discovery | None = None) -> Response:
    server = server or Discovery(server_address="10.0.0.1:6443")
    return server.handle(Request("GET", path.encode(), Headers(headers)))


def _json(path: str, *headers: tuple[bytes, bytes]) -> Any:
    return json.loads(_get(path, *headers).body)


def _normal(subresources: list[dict[str, Any]]) -> dict[str, Any]:
    found = [{"name": s["subresource"], "kind": s["responseKind"]["kind"], "verbs": s["verbs"]} for s in subresources]
    return {"subresources": sorted(found, key=lambda sub: str(sub["name"]))}


@pytest.mark.skipif(not _FILE.exists(), reason="the reference recordings are not here")
def test_served_resources_are_upstreams() -> None:
    ours: dict[tuple[str, str, str], dict[str, Any]] = {}
    for path in ("/api", "/apis"):
        for group in _json(path, (b"accept", _KUBECTL))["items"]:
            name = group["metadata"].get("name", "")
            for version in group["versions"]:
                for r in version["resources"]:
                    ours[(name, version["version"], r["resource"])] = {
                        "group": name,
                        "version": version["version"],
                        "kind": r["responseKind"]["kind"],
                        "resource": r["resource"],
                        "scope": r["scope"],
                        "singular": r["singularResource"],
                        "verbs": r["verbs"],
                        "shortNames": r.get("shortNames", []),
                        "categories": r.get("categories", []),
                        **_normal(r.get("subresources", [])),
                    }
    expected = {(r["group"], r["version"], r["resource"]): r for r in json.loads(_FILE.read_text())}
    wrong = {key: (ours[key], expected[key]) for key in expected if key in ours and ours[key] != expected[key]}
    assert wrong == {}
    assert [key for key in expected if key not in ours and key[0] != "example.com"] == []


def test_old_form() -> None:
    assert _json("/api")["versions"] == ["v1"]
    assert _json("/api")["serverAddressByClientCIDRs"][0]["serverAddress"] == "10.0.0.1:6443"
    groups = {group["name"]: group for group in _json("/apis")["groups"]}
    assert groups["apps"]["preferredVersion"] == {"groupVersion": "apps/v1", "version": "v1"}
    assert groups["autoscaling"]["preferredVersion"]["version"] == "v2"
    assert "" not in groups
    assert _json("/apis/apps")["kind"] == "APIGroup"
    apps = _json("/apis/apps/v1")
    assert (apps["apiVersion"], apps["groupVersion"]) == ("v1", "apps/v1")
    names = [resource["name"] for resource in apps["resources"]]
    assert names == sorted(names)
    scale = next(resource for resource in apps["resources"] if resource["name"] == "deployments/scale")
    assert (scale["group"], scale["version"], scale["kind"]) == ("autoscaling", "v1", "Scale")
    core = _json("/api/v1")
    assert core["groupVersion"] == "v1"
    pods = next(resource for resource in core["resources"] if resource["name"] == "pods")
    assert (pods["shortNames"], pods["storageVersionHash"]) == (["po"], "xPOwRZ+Yhw8=")


def test_aggregated_form_is_revalidated() -> None:
    server = Discovery()
    first = _get("/apis", (b"accept", _KUBECTL), server=server)
    assert first.content_type == _AGGREGATED.decode()
    tag = dict(first.headers)[b"ETag"]
    second = _get("/apis", (b"accept", _KUBECTL), (b"if-none-match", tag), server=server)
    assert (second.status, second.body) == (304, b"")


def test_resources_may_change() -> None:
    server = Discovery()
    tag = dict(_get("/apis", (b"accept", _AGGREGATED), server=server).headers)[b"ETag"]
    server.replace(resource for resource in scheme.RESOURCES if resource.group != "batch")
    changed = _get("/apis", (b"accept", _AGGREGATED), (b"if-none-match", tag), server=server)
    assert changed.status == 200
    assert b'"batch"' not in changed.body
    assert "/apis/batch/v1" not in server.paths


@pytest.mark.parametrize("path", ["/apis/none", "/apis/apps/v9", "/api/v2", "/apis/apps/v1/x/y"])
def test_unknown_paths(path: str) -> None:
    with pytest.raises(ApiError) as caught:
        _get(path)
    assert caught.value.code == 404


def test_yaml() -> None:
    answer = _get("/api", (b"accept", b"application/yaml"))
    assert answer.body.startswith(b"kind: APIVersions")
