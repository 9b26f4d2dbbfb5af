"""A running server for this folder's tests."""

from tests.conformance.api.fixtures import kubectl as kubectl
from tests.conformance.api.fixtures import namespace as namespace
from tests.conformance.api.fixtures import raw as raw
from tests.conformance.api.fixtures import server as server
