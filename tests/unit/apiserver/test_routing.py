"""Paths and methods as upstream's request info reads them."""

from __future__ import annotations

import pytest

from tiphys.apiserver.routing import Router

_ROUTER = Router()


@pytest.mark.parametrize(
    ("method", "path", "verb", "resource", "namespace", "name", "subresource"),
    [
        ("GET", "/api/v1/pods", "list", "pods", "", "", ""),
        ("GET", "/api/v1/namespaces/a/pods", "list", "pods", "a", "", ""),
        ("GET", "/api/v1/namespaces/a/pods/b", "get", "pods", "a", "b", ""),
        ("HEAD", "/api/v1/namespaces/a/pods/b", "get", "pods", "a", "b", ""),
        ("POST", "/api/v1/namespaces/a/pods", "create", "pods", "a", "", ""),
        ("DELETE", "/api/v1/namespaces/a/pods", "deletecollection", "pods", "a", "", ""),
        ("DELETE", "/api/v1/namespaces/a/pods/b", "delete", "pods", "a", "b", ""),
        ("PUT", "/api/v1/namespaces/a/pods/b/status", "update", "pods", "a", "b", "status"),
        ("POST", "/api/v1/namespaces/a/pods/b/exec", "create", "pods", "a", "b", "exec"),
        ("GET", "/api/v1/namespaces", "list", "namespaces", "", "", ""),
        ("GET", "/api/v1/namespaces/a", "get", "namespaces", "a", "a", ""),
        ("GET", "/api/v1/namespaces/a/", "get", "namespaces", "a", "a", ""),
        ("PUT", "/api/v1/namespaces/a/finalize", "update", "namespaces", "a", "a", "finalize"),
        ("PATCH", "/apis/apps/v1/namespaces/a/deployments/b/scale", "patch", "deployments", "a", "b", "scale"),
        ("GET", "/apis/storage.k8s.io/v1/storageclasses/b", "get", "storageclasses", "", "b", ""),
        ("GET", "/api/v1/watch/namespaces/a/pods", "watch", "pods", "a", "", ""),
        ("GET", "/version", "get", "", "", "", ""),
        ("GET", "/apis/apps/v1", "get", "", "", "", ""),
        ("GET", "/", "get", "", "", "", ""),
    ],
)
def test_parse(method: str, path: str, verb: str, resource: str, namespace: str, name: str, subresource: str) -> None:
    info = _ROUTER.parse(method, path)
    found = (info.verb, info.resource, info.namespace, info.name, info.subresource)
    assert found == (verb, resource, namespace, name, subresource)
    assert (info.target is not None) is bool(resource)


@pytest.mark.parametrize("watch", ["1", "true", "True"])
def test_watch_parameter(watch: str) -> None:
    assert _ROUTER.parse("GET", "/api/v1/pods", watch).verb == "watch"


def test_a_resource_nobody_serves_has_no_target() -> None:
    info = _ROUTER.parse("GET", "/api/v1/namespaces/a/gizmos")
    assert (info.resource, info.target) == ("gizmos", None)


def test_cluster_resources_are_not_in_namespaces() -> None:
    assert _ROUTER.parse("GET", "/api/v1/namespaces/a/nodes").target is None


def test_what_follows_proxy_is_kept_as_it_is() -> None:
    info = _ROUTER.parse("GET", "/api/v1/namespaces/a/services/http:s:80/proxy/x//y/")
    assert (info.name, info.subresource, info.rest) == ("http:s:80", "proxy", "x//y/")
