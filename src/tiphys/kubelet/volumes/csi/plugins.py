"""The drivers of this node: they announce themselves by sockets in the registration folder.

socket appears ──GetInfo──► checked ──NodeGetInfo──► CSINode, Node written ──► registered ──► NotifyRegistrationStatus
socket goes    ──────────────────────────────────────────────────────────────► removed from CSINode
"""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from tiphys.api.errors import ApiError
from tiphys.base.backoff import Backoff
from tiphys.base.clock import Clock
from tiphys.base.logging import get_logger
from tiphys.csi.client import CsiDriver
from tiphys.csi.errors import CsiError
from tiphys.csi.registration import CSI_PLUGIN, Registration, RegistrationSocket
from tiphys.csi.types import NodeCapabilities, NodeInfo
from tiphys.csi.wire import NodeRpc
from tiphys.kubelet.inotify import FolderWatch

RETRY_SECONDS_MAX: Final = 30.0
Identity = tuple[int, int]
"""A socket's inode and its time: inodes are used again, often by the very next socket."""
_logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Plugin:
    """A registered driver, and what its node service can do."""

    name: str
    driver: CsiDriver
    node: NodeInfo
    capabilities: NodeCapabilities

    def can(self, rpc: NodeRpc) -> bool:
        return rpc in self.capabilities


class Announcer(Protocol):
    """Who tells the API which drivers the node has."""

    async def add(self, name: str, node: NodeInfo) -> None:
        """Raises ApiError and OSError."""
        ...

    async def remove(self, name: str) -> None: ...


class Plugins:
    """`run` watches the folder; `get` gives a driver that is registered now. `on_change` is called at each change."""

    def __init__(
        self, folder: Path, announcer: Announcer, clock: Clock, on_change: Callable[[], None] = lambda: None
    ) -> None:
        self.folder = folder
        self._announcer = announcer
        self._clock = clock
        self._on_change = on_change
        self._plugins: dict[str, Plugin] = {}
        self._sockets: dict[Path, tuple[Identity, asyncio.Task[None]]] = {}
        self._names: dict[Path, str] = {}

    def get(self, name: str) -> Plugin | None:
        return self._plugins.get(name)

    async def run(self) -> None:
        """Until cancelled."""
        self.folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            with FolderWatch(self.folder) as watch:
                while True:
                    await self._look()
                    await watch.changed(never)
        finally:
            tasks = [task for _, task in self._sockets.values()]
            self._sockets.clear()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for plugin in self._plugins.values():
                await plugin.driver.close()
            self._plugins.clear()

    async def _look(self) -> None:
        """Begin with sockets that are new (a restarted driver makes its socket again), end with those that went."""
        present = {path: found for path in self.folder.iterdir() if (found := _socket(path)) is not None}
        for path, (identity, task) in list(self._sockets.items()):
            if present.get(path) != identity:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                del self._sockets[path]
                if path not in present:
                    await self._lost(path)
        for path, identity in present.items():
            if path not in self._sockets:
                task = asyncio.get_running_loop().create_task(self._register(path), name=f"plugin/{path.name}")
                self._sockets[path] = (identity, task)

    async def _register(self, path: Path) -> None:
        backoff = Backoff(0.2, 2.0, RETRY_SECONDS_MAX)
        while True:
            try:
                async with RegistrationSocket(path) as socket:
                    await self._register_once(path, socket)
                return
            except (CsiError, ApiError, OSError, TimeoutError, ValueError) as error:
                _logger.warning("plugin not registered; trying again", socket=path.name, error=str(error))
            await self._clock.sleep(backoff.next_seconds())

    async def _register_once(self, path: Path, socket: RegistrationSocket) -> None:
        said = await socket.info()
        try:
            _check(said)
            driver = CsiDriver(Path(said.endpoint or path))
            try:
                node = await driver.node_info()
                capabilities = await driver.node_capabilities()
                await self._announcer.add(said.name, node)
            except BaseException:
                await driver.close()
                raise
        except (CsiError, ApiError, OSError, ValueError) as error:
            await socket.notify(registered=False, error=f"RegisterPlugin error -- {error}")
            raise
        before = self._plugins.get(said.name)
        self._plugins[said.name] = Plugin(said.name, driver, node, capabilities)
        self._names[path] = said.name
        if before is not None:
            await before.driver.close()
        await socket.notify(registered=True)
        _logger.info("CSI driver registered", driver=said.name, node_id=node.node_id)
        self._on_change()

    async def _lost(self, path: Path) -> None:
        name = self._names.pop(path, "")
        if not name or name in self._names.values():
            return
        plugin = self._plugins.pop(name, None)
        if plugin is not None:
            await plugin.driver.close()
        _logger.info("CSI driver gone", driver=name)
        try:
            await self._announcer.remove(name)
        except (ApiError, OSError, TimeoutError) as error:
            _logger.warning("CSINode not updated", driver=name, error=str(error))
        self._on_change()


def _check(said: Registration) -> None:
    """Raises ValueError for a plugin that is none of ours to run."""
    if said.type != CSI_PLUGIN:
        raise ValueError(f"a handler for plugin type {said.type} is not registered")
    if not said.name:
        raise ValueError("plugin name must not be empty")
    if not any(v.removeprefix("v").split(".", 1)[0] == "1" for v in said.versions):
        raise ValueError(f"none of the CSI versions reported by this driver are supported: {', '.join(said.versions)}")


def _socket(path: Path) -> Identity | None:
    """Which socket it is; None for anything else, and for names that begin with a dot."""
    try:
        info = path.stat()
    except OSError:
        return None
    if not stat.S_ISSOCK(info.st_mode) or path.name.startswith("."):
        return None
    return info.st_ino, info.st_ctime_ns
