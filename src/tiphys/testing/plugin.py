"""The pytest plugin: ``tiphys_cluster`` is a cluster of hollow nodes for tests of operators and controllers.

It comes with the installation. A session shares one cluster, with its own ports and a temporary data directory; tests
keep apart by namespaces::

    def test_my_operator(tiphys_cluster):
        kubernetes.config.load_kube_config(str(tiphys_cluster.kubeconfig))

``tiphys_simulate`` needs no cluster: it says what would run where on the nodes of a file, after changes::

    def test_my_chart_survives_the_loss_of_a_node(tiphys_simulate):
        assert tiphys_simulate("cluster.yaml", "--add", "chart.yaml", "--remove-node", "node-1").fits
"""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tiphys.scheduler.what_if import Outcome


@dataclass(frozen=True)
class TiphysCluster:
    """A running cluster: `server` is its URL, `kubeconfig` the admin's credentials."""

    server: str
    kubeconfig: Path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def tiphys_simulate() -> Callable[..., Outcome]:
    """``tiphys_simulate(snapshot_file, *arguments)``: the outcome of `tiphys simulate` with these arguments."""
    from tiphys.cmd.simulate_commands import simulate_file

    return simulate_file


@pytest.fixture(scope="session")
def tiphys_cluster() -> Iterator[TiphysCluster]:
    """A control plane with three hollow nodes, up in about a second; scheduled pods are Ready at once. No root."""
    from tiphys.cmd.down import down
    from tiphys.cmd.up import UpOptions, up

    with tempfile.TemporaryDirectory(prefix="tiphys-pytest-") as folder:
        data_dir = Path(folder) / "data"
        options = UpOptions(
            data_dir=data_dir,
            demo=False,
            hollow_nodes=3,
            secure_port=_free_port(),
            kubelet_port=_free_port(),
            service_cidr="10.96.0.0/12",
            pod_cidr="10.244.0.0/16",
            node_port_range=(30000, 32767),
        )
        try:
            up(options)
            yield TiphysCluster(f"https://127.0.0.1:{options.secure_port}", data_dir / "admin.kubeconfig")
        finally:
            down(data_dir, keep_data=False, purge=False)
