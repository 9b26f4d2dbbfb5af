"""A node's storage wired together: drivers, what is staged, what is in use, and the loop that keeps it so."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable

from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import Node
from tiphys.base.backoff import Backoff
from tiphys.base.clock import Clock
from tiphys.base.logging import get_logger
from tiphys.base.tasks import Supervisor
from tiphys.client.client import Client
from tiphys.kubelet.config import KubeletConfig
from tiphys.kubelet.volumes.csi.layout import CsiLayout
from tiphys.kubelet.volumes.csi.mounter import CsiVolumes, Tell
from tiphys.kubelet.volumes.csi.node_object import CsiNodeObject
from tiphys.kubelet.volumes.csi.plugins import Plugins
from tiphys.kubelet.volumes.local import LocalVolumes
from tiphys.kubelet.volumes.mounts import share
from tiphys.kubelet.volumes.node_volumes import NodeVolumes
from tiphys.kubelet.volumes.persistent import PersistentVolumes
from tiphys.kubelet.volumes.tokens import Tokens

_logger = get_logger(__name__)


class NodeStorage:
    """Made anew for each run of a kubelet. `on_change`: volumes that could not be mounted may be now.

    Nodes that mount nothing (`KubeletConfig.mount_volumes` False) have no drivers, unless told where they register.
    """

    def __init__(
        self,
        client: Client,
        config: KubeletConfig,
        clock: Clock,
        *,
        node: Callable[[], Node | None],
        on_change: Callable[[], None],
        tell: Tell,
    ) -> None:
        self._config = config
        self._clock = clock
        self._on_change = on_change
        self.tokens = Tokens(client, clock)
        self.in_use = NodeVolumes(node)
        self._csi_node = CsiNodeObject(client, config.node_name)
        self.plugins = Plugins(config.plugins_registry, self._csi_node, clock, on_change)
        csi = None
        self._has_drivers = config.mount_volumes or config.plugins_registry_dir is not None
        if self._has_drivers:
            csi = CsiVolumes(
                client,
                self.plugins,
                CsiLayout(config.data_dir),
                self.in_use,
                self.tokens,
                clock,
                node_name=config.node_name,
                tell=tell,
            )
        local = LocalVolumes(config.data_dir, privileged=config.mount_volumes and os.geteuid() == 0)
        self.volumes = PersistentVolumes(client, self.in_use, local, csi)

    def share_mounts(self) -> None:
        """Before anything is mounted: drivers that are pods mount below our folder, and that must be seen here."""
        if not (self._config.mount_volumes and os.geteuid() == 0):
            return
        self._config.data_dir.mkdir(mode=0o750, parents=True, exist_ok=True)
        try:
            share(self._config.data_dir.resolve())
        except OSError as error:
            _logger.warning("CSI drivers that are pods will not work", error=str(error))

    def start(self, supervisor: Supervisor) -> None:
        """Listen for drivers; the node's object exists."""
        if self._has_drivers:
            supervisor.spawn(self._ensure_csi_node, "csinode")
            supervisor.spawn(self.plugins.run, "plugins")

    def keep(self, supervisor: Supervisor, remove_leftovers: Callable[[], Awaitable[None]]) -> None:
        """Keep volumes up; the node's pods are known."""
        if self._has_drivers:
            supervisor.spawn(lambda: self._keep_up(remove_leftovers), "volumes")

    def node_changed(self, old: Node, new: Node) -> None:
        """Mounts wait for what the controller attaches."""
        if old.status.volumes_attached != new.status.volumes_attached:
            self._on_change()

    async def _ensure_csi_node(self) -> None:
        backoff = Backoff(0.5, 2.0, 30.0)
        while True:
            try:
                await self._csi_node.ensure()
                return
            except (ApiError, OSError, TimeoutError) as error:
                _logger.info("CSINode not written; trying again", error=str(error))
            await self._clock.sleep(backoff.next_seconds())

    async def _keep_up(self, remove_leftovers: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self._clock.sleep(self._config.volume_check_seconds)
            await remove_leftovers()
            await self.volumes.keep_up()
