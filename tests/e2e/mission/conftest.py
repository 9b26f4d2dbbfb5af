"""One cluster of three hosts for all of the mission's tests; a namespace for each test, and whole hosts after it."""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.cluster import free_port
from tests.e2e.hosts import HostsCluster, traces

# A host's death is noticed and answered while a test waits, and a busy machine's nodes are not taken for dead.
GRACE_SECONDS = 12
TOLERATION_SECONDS = 5


def _ranges(index: int) -> tuple[str, str]:
    """Services' and pods' addresses: other clusters of this session, and of others on this machine, have others."""
    slot = (os.getpid() * 16 + index) % 512
    services, pods = ipaddress.IPv4Address("10.224.0.0"), ipaddress.IPv4Address("10.192.0.0")
    return f"{services + slot * 4096}/20", f"{pods + slot * 4096}/20"


@contextmanager
def running(index: int, *flags: str) -> Iterator[HostsCluster]:
    """A cluster on hosts with ranges of its own (`index` is below 16); at the end it must leave no trace."""
    folder = Path(tempfile.mkdtemp(prefix="tiphys-m-")).resolve()
    services, pods = _ranges(index)
    made = HostsCluster(
        folder / "data",
        [
            "--secure-port", str(free_port()), "--kubelet-port", "10250",
            "--service-cidr", services, "--pod-cidr", pods,
            "--node-monitor-grace-period", str(GRACE_SECONDS),
            "--default-unreachable-toleration-seconds", str(TOLERATION_SECONDS),
        ],
    )  # fmt: skip
    ids: list[str] = []
    subnet = ""
    try:
        made.up("--no-demo", *flags)
        yield made
    finally:
        if (made.data_dir / "hosts.json").exists():
            ids, subnet = made.ids(), made.record["subnet"]
        made.down()
        # Only now: `tiphys down` must find the cluster in it.
        shutil.rmtree(folder)
    left = traces(made.data_dir, ids, subnet)
    assert not left, "left on the machine:\n" + "\n".join(left)


@pytest.fixture(scope="session")
def hosts_cluster() -> Iterator[HostsCluster]:
    """Three nodes on hosts of their own, the control plane on the machine; up for the whole session."""
    with running(0, "--nodes", "3") as cluster:
        yield cluster


@pytest.fixture
def whole_hosts(hosts_cluster: HostsCluster) -> Iterator[HostsCluster]:
    """`hosts_cluster` for tests that break hosts: they are all up and linked again afterwards."""
    yield hosts_cluster
    hosts_cluster.restore()


@pytest.fixture
def namespace(hosts_cluster: HostsCluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of `hosts_cluster` named after the test, deleted with all in it afterwards."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:50].strip("-")
    hosts_cluster.kubectl("create", "namespace", name)
    yield name
    hosts_cluster.kubectl("delete", "namespace", name, "--wait=false")
