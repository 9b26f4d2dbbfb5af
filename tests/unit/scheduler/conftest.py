"""The control plane that the schedulers of these tests work on; a module with more on it makes its `plane` of this."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tiphys.api.types.core_v1 import ServiceAccount
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.testing.control_plane import ControlPlane, control_plane


@pytest.fixture
async def plane() -> AsyncIterator[ControlPlane]:
    """A real apiserver in this process, with an empty store in which pods can be made in the default namespace."""
    async with control_plane() as running:
        await running.client.create(ServiceAccount(metadata=ObjectMeta(name="default", namespace="default")))
        yield running
