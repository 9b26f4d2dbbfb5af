"""A cluster for a folder of behaviours, gone when the folder is done."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster, missing_for_real_containers
from tests.e2e.conftest import fresh_cluster
from tests.e2e.conftest import namespace as namespace


@pytest.fixture(scope="package")
def cluster() -> Iterator[Cluster]:
    reason = missing_for_real_containers()
    if reason:
        pytest.skip(f"real containers: {reason}")
    with tempfile.TemporaryDirectory(prefix="tiphys-conformance-") as folder:
        made = fresh_cluster(Path(folder) / "data", 11)
        try:
            made.up("--no-demo")
            yield made
        finally:
            made.down()
