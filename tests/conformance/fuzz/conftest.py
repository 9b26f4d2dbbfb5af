"""The server of these tests."""

from tests.conformance.api.fixtures import server as server
