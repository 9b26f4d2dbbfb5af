"""The cluster and namespace of these tests."""

from tests.conformance.node.fixtures import cluster as cluster
from tests.conformance.node.fixtures import namespace as namespace
