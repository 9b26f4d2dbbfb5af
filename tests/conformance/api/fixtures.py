"""The fixtures of tests that need a running API and nothing else; see `running`.

server       a running apiserver, one for a folder of tests; no controllers
controlled   the same with the controller manager beside it, another server
api_client   the official client of `server`; `controlled_client` of `controlled`
raw          raw("GET", path, body, headers) -> Answer
kubectl      kubectl("get", "pods") -> CompletedProcess
namespace    a fresh namespace of `server` in which pods can be made; `controlled_namespace` of `controlled`
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from subprocess import CompletedProcess

import pytest
from kubernetes.client import ApiClient

from tests.conformance.api.running import Answer, RunningServer, running_server

__all__ = [
    "api_client",
    "controlled",
    "controlled_client",
    "controlled_namespace",
    "kubectl",
    "namespace",
    "raw",
    "server",
]

_numbers = itertools.count(1)


@pytest.fixture(scope="package")
def server() -> Iterator[RunningServer]:
    with running_server() as running:
        yield running


@pytest.fixture(scope="package")
def controlled() -> Iterator[RunningServer]:
    with running_server(controllers=True) as running:
        yield running


@pytest.fixture(scope="package")
def api_client(server: RunningServer) -> Iterator[ApiClient]:
    with server.api_client() as client:
        yield client


@pytest.fixture(scope="package")
def controlled_client(controlled: RunningServer) -> Iterator[ApiClient]:
    with controlled.api_client() as client:
        yield client


@pytest.fixture
def raw(server: RunningServer) -> Callable[..., Answer]:
    return server.raw


@pytest.fixture
def kubectl(server: RunningServer) -> Callable[..., CompletedProcess[str]]:
    return server.kubectl


@pytest.fixture
def namespace(server: RunningServer) -> Iterator[str]:
    name = _make_namespace(server)
    # No controller makes it here, and no pod is admitted without.
    account = {"metadata": {"name": "default"}}
    assert server.raw("POST", f"/api/v1/namespaces/{name}/serviceaccounts", account).status == 201
    yield name
    server.raw("DELETE", f"/api/v1/namespaces/{name}")


@pytest.fixture
def controlled_namespace(controlled: RunningServer) -> Iterator[str]:
    name = _make_namespace(controlled)
    yield name
    controlled.raw("DELETE", f"/api/v1/namespaces/{name}")


def _make_namespace(server: RunningServer) -> str:
    name = f"test-{next(_numbers)}"
    answer = server.raw("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    assert answer.status == 201, answer.body
    return name
