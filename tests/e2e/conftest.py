"""One real cluster for all end-to-end tests; a namespace for each test."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster, free_port, missing_for_real_containers

DEFAULT_TIMEOUT_SECONDS = 240
"""The first test of a session waits for its cluster too, which on a loaded machine takes minutes."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = missing_for_real_containers()
    here = Path(__file__).parent
    for item in items:
        if here not in item.path.parents:
            continue
        item.add_marker(pytest.mark.e2e)
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(DEFAULT_TIMEOUT_SECONDS))
        if reason:
            item.add_marker(pytest.mark.skip(reason=f"real containers: {reason}"))


def fresh_cluster(data_dir: Path, index: int) -> Cluster:
    """A cluster whose ports and ranges collide with no other's: `index` is below 16."""
    first = 30500 + index * 100
    return Cluster(
        data_dir,
        [
            "--secure-port", str(free_port()), "--kubelet-port", str(free_port()),
            "--service-cidr", f"10.{112 + index}.0.0/16", "--pod-cidr", f"10.{144 + index}.0.0/16",
            "--node-port-range", f"{first}-{first + 99}",
        ],
    )  # fmt: skip


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """An empty cluster with one node, up for the whole session."""
    with tempfile.TemporaryDirectory(prefix="tiphys-e2e-") as folder:
        made = fresh_cluster(Path(folder) / "data", 1)
        try:
            made.up("--no-demo")
            yield made
        finally:
            made.down()


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace named after the test, deleted with all in it afterwards."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:50].strip("-")
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")
