"""One object of every kind lives its whole life."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from kubernetes.client import ApiClient
from kubernetes.dynamic import DynamicClient

from tests.conformance.api.running import RunningServer
from tests.conformance.kinds import lifecycle
from tests.conformance.kinds.bodies import BODIES
from tests.conformance.kinds.lifecycle import Life
from tiphys.api.scheme import RESOURCES, Resource

KEPT = [resource for resource in RESOURCES if {"create", "get", "delete"} <= set(resource.verbs)]
STEPS: dict[str, Callable[[Life], None]] = {
    "read": lifecycle.check_create_and_read,
    "change": lifecycle.check_change,
    "status": lifecycle.check_status,
    "watch": lifecycle.check_watch,
    "collection": lifecycle.check_collection,
    "dry-run": lifecycle.check_dry_run,
}


def key(resource: Resource) -> str:
    return f"{resource.api_version}/{resource.kind}"


@pytest.fixture(scope="module")
def dynamic(api_client: ApiClient) -> Iterator[DynamicClient]:
    yield DynamicClient(api_client)


def applies(step: str, resource: Resource) -> bool:
    """Whether the kind has what the step looks at."""
    if step == "status":
        return bool(BODIES[key(resource)].status)
    needed = {"watch": "watch", "collection": "deletecollection"}.get(step)
    return needed is None or needed in resource.verbs


CASES = [
    pytest.param(resource, step, id=f"{key(resource)}-{step}")
    for resource in KEPT
    if key(resource) in BODIES
    for step in STEPS
    if applies(step, resource)
]


@pytest.mark.parametrize(("resource", "step"), CASES)
def test_life(server: RunningServer, dynamic: DynamicClient, namespace: str, resource: Resource, step: str) -> None:
    STEPS[step](Life(server, dynamic, resource, BODIES[key(resource)], namespace))
