"""The cluster and namespace of these tests, and both in one."""

import pytest

from tests.conformance.apps.workloads import Apps
from tests.conformance.node.fixtures import cluster as cluster
from tests.conformance.node.fixtures import namespace as namespace
from tests.e2e.cluster import Cluster


@pytest.fixture
def apps(cluster: Cluster, namespace: str) -> Apps:
    return Apps(cluster, namespace)
