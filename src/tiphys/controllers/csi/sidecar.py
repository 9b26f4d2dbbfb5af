"""All controllers of one driver, in one process beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tiphys.base.clock import Clock, SystemClock
from tiphys.base.logging import get_logger
from tiphys.base.tasks import Supervisor
from tiphys.client import Client, ElectionConfig, LeaderElector, SharedInformers
from tiphys.controllers.csi.attacher import AttachedVolumeKeeper, VolumeAttacher
from tiphys.controllers.csi.capacity import CapacityPublisher
from tiphys.controllers.csi.config import CsiControllerConfig
from tiphys.controllers.csi.driver import Driver, sanitized, wait_for_driver
from tiphys.controllers.csi.provisioner import VolumeDeleter, VolumeProvisioner
from tiphys.controllers.csi.resizer import VolumeResizer
from tiphys.controllers.runtime import Environment

CONTROLLERS: Final = (
    VolumeProvisioner,
    VolumeDeleter,
    VolumeAttacher,
    AttachedVolumeKeeper,
    VolumeResizer,
    CapacityPublisher,
)
_logger = get_logger(__name__)


class CsiController:
    """``await CsiController(client, socket, config).run()``: until cancelled, or until the lease is lost."""

    def __init__(
        self, client: Client, socket: Path, config: CsiControllerConfig | None = None, *, clock: Clock | None = None
    ) -> None:
        self._client = client
        self._socket = socket
        self._config = config or CsiControllerConfig()
        self._clock = clock or SystemClock()

    async def run(self) -> None:
        driver = await wait_for_driver(self._socket, self._clock)
        _logger.info("CSI driver found", driver=driver.name, capabilities=sorted(c.name for c in driver.capabilities))
        try:
            if not self._config.leader_elect:
                await self._run_controllers(driver)
                return
            namespace = self._config.leader_election_namespace
            name = f"tiphys-csi-{sanitized(driver.name).lower()}"
            election = ElectionConfig(name, self._config.identity, namespace)
            await LeaderElector(self._client, election, clock=self._clock).run(lambda: self._run_controllers(driver))
        finally:
            await driver.calls.close()

    async def _run_controllers(self, driver: Driver) -> None:
        informers = SharedInformers(self._client, clock=self._clock)
        environment = Environment(self._client, informers, clock=self._clock)
        controllers = [make(environment, driver, self._config) for make in CONTROLLERS]
        try:
            async with Supervisor(f"csi-controller {driver.name}") as supervisor:
                for informer in informers.all():
                    supervisor.spawn(informer.run, f"informer/{informer.view.resource.qualified}")
                await informers.wait_synced()
                for controller in controllers:
                    supervisor.spawn(controller.run, controller.name)
                await supervisor.wait()
        finally:
            await environment.close()
