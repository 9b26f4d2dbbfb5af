"""The driver that these controllers work for, and what they need of the API to ask it for something."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tiphys.api.errors import ApiError
from tiphys.api.persistent_volumes import mode_of
from tiphys.api.types.core_v1 import PersistentVolume, Secret, SecretReference
from tiphys.base.backoff import Backoff
from tiphys.base.clock import Clock
from tiphys.base.logging import get_logger
from tiphys.client import Client
from tiphys.controllers.runtime import TryAgain
from tiphys.csi.client import CsiDriver
from tiphys.csi.errors import CsiError
from tiphys.csi.types import Capability, ControllerCapabilities
from tiphys.csi.volume_access import access_mode
from tiphys.csi.wire import ControllerRpc, PluginService

RETRY_SECONDS_MAX: Final = 5.0
_NOT_NAME: Final = re.compile("[^a-zA-Z0-9-]")
_logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Driver:
    """A driver that is ready. `calls` is its controller service."""

    name: str
    calls: CsiDriver
    capabilities: ControllerCapabilities
    services: frozenset[PluginService]

    def can(self, rpc: ControllerRpc) -> bool:
        return rpc in self.capabilities

    @property
    def has_topology(self) -> bool:
        return PluginService.VOLUME_ACCESSIBILITY_CONSTRAINTS in self.services

    def capability_of(self, volume: PersistentVolume) -> Capability:
        """How a PersistentVolume is used."""
        source = volume.spec.csi
        mode = access_mode(volume.spec.access_modes, multi_writer=self.can(ControllerRpc.SINGLE_NODE_MULTI_WRITER))
        if mode_of(volume) == "Block":
            return Capability(mode, block=True)
        fs_type = source.fs_type or "" if source is not None else ""
        return Capability(mode, fs_type=fs_type, mount_flags=volume.spec.mount_options)


async def wait_for_driver(socket: Path, clock: Clock) -> Driver:
    """Until the driver answers and says that it is ready."""
    calls = CsiDriver(socket)
    backoff = Backoff(0.2, 2.0, RETRY_SECONDS_MAX)
    while True:
        try:
            if await calls.ready():
                info = await calls.plugin_info()
                capabilities: ControllerCapabilities = frozenset()
                if PluginService.CONTROLLER_SERVICE in info.services:
                    capabilities = await calls.controller_capabilities()
                return Driver(info.name, calls, capabilities, info.services)
        except CsiError as error:
            _logger.info("driver not ready", socket=str(socket), error=str(error))
        await clock.sleep(backoff.next_seconds())


def sanitized(driver: str) -> str:
    """The driver's name as part of finalizers and leases."""
    name = _NOT_NAME.sub("-", driver)
    return f"{name}X" if name.endswith("-") else name


async def secret_data(client: Client, reference: SecretReference | None) -> dict[str, str]:
    """The entries of a Secret; none for no reference. Raises TryAgain and ApiError."""
    if reference is None or not reference.name:
        return {}
    try:
        found = await client.get(Secret, reference.name, reference.namespace or "")
    except ApiError as error:
        if error.code == 404:
            raise TryAgain(
                f"error getting secret {reference.name} in namespace {reference.namespace}: {error}"
            ) from None
        raise
    return {key: base64.b64decode(value).decode(errors="replace") for key, value in found.data.items()}
