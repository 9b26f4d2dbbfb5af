"""Every operation that the official Python client has for what upstream serves works; the page about it is true."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import groupby

import pytest

from tests.conformance.api.running import RunningServer, running_server
from tests.conformance.coverage.backends import ADDRESS, repeating_server
from tests.conformance.coverage.calls import UPGRADED, Caller, Result
from tests.conformance.coverage.operations import Operation, operations
from tests.conformance.coverage.page import MISSING, PAGE, gap, rendered
from tiphys.apiserver.subresources import proxies

WRITE = "TIPHYS_WRITE_COVERAGE"
ALL = operations()
SERVED = [operation for operation in ALL if not gap(operation)]


def _kind(operation: Operation) -> tuple[str, str]:
    return operation.group_version, operation.plural


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """A server of its own: whole collections are deleted, with what every cluster has."""
    with running_server() as running:
        yield running


@pytest.fixture(scope="module")
def results(server: RunningServer) -> Iterator[dict[Operation, Result]]:
    """What each operation was answered, those of one kind after another."""
    found: dict[Operation, Result] = {}
    # Nothing leads to loopback by a proxy; the pod of this test is there all the same.
    with pytest.MonkeyPatch.context() as patch, repeating_server() as port, server.api_client() as client:
        patch.setattr(proxies, "_outside", lambda _: ADDRESS)
        caller = Caller(server, client, ADDRESS, port)
        caller.prepare()
        for _, kind in groupby(sorted(SERVED, key=_kind), _kind):
            for operation in sorted(kind, key=lambda o: o.rank):
                found[operation] = caller.call(operation)
    yield found


@pytest.mark.parametrize("operation", SERVED, ids=lambda o: f"{o.api}-{o.name}")
def test_an_operation_is_served(results: dict[Operation, Result], operation: Operation) -> None:
    code, text = results[operation]
    if operation.subresource in UPGRADED:
        assert (code, "Upgrade request required" in text) == (400, True), text
    else:
        assert code in (200, 201), f"{operation.method} {operation.path}: {code} {text}"


def test_no_kind_that_upstream_serves_is_missing() -> None:
    assert [operation for operation in ALL if gap(operation) == MISSING] == []


def test_the_page_is_what_the_calls_were_answered(results: dict[Operation, Result]) -> None:
    """The page is of the newest client; an older one has fewer operations, and writes nothing."""
    text = rendered(ALL, results)
    if os.environ.get(WRITE):
        PAGE.write_text(text)
    assert PAGE.read_text() == text, "docs/api-coverage.md is stale: make coverage-page"


def test_what_is_served_is_described(server: RunningServer) -> None:
    """Operations that work are in the OpenAPI document, by the same path."""
    paths = server.raw("GET", "/openapi/v2").json["paths"]
    described = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert [o for o in SERVED if (o.method, o.path) not in described] == []
