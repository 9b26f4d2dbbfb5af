"""A running server of which nothing but these tests writes, so that its revision says whether anything was written."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.api.running import RunningServer, running_server


@pytest.fixture(scope="module")
def quiet() -> Iterator[RunningServer]:
    with running_server() as running:
        yield running
