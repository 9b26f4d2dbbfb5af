"""What the node's status says about volumes: those in use here (the kubelet's word), those attached (the controller's).

A volume is reported in use before it is mounted and until it is unmounted: the attach-detach controller takes no volume
away that is in use.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from tiphys.api.types.core_v1 import Node
from tiphys.kubelet.volumes.payload import VolumeWaits

REPORT_SECONDS: Final = 5.0
"""How long a mount waits for the node's status to be written before it lets go and is tried again."""


class NodeVolumes:
    """Volumes by their unique names. `node` gives the node's object; `wake` asks for its status to be written."""

    def __init__(self, node: Callable[[], Node | None]) -> None:
        self._node = node
        self._in_use: set[str] = set()
        self._reported: frozenset[str] = frozenset()
        self._written = asyncio.Event()
        self.wake: Callable[[], None] = lambda: None

    @property
    def node(self) -> Node | None:
        return self._node()

    def in_use(self) -> tuple[str, ...]:
        """For ``status.volumesInUse``."""
        return tuple(sorted(self._in_use))

    def use(self, name: str) -> None:
        if name not in self._in_use:
            self._in_use.add(name)
            self.wake()

    def leave(self, name: str) -> None:
        if name in self._in_use:
            self._in_use.discard(name)
            self.wake()

    def reported(self, names: Iterable[str]) -> None:
        """The node's status now says so."""
        self._reported = frozenset(names)
        self._written.set()
        self._written = asyncio.Event()

    async def wait_reported(self, name: str) -> None:
        """Until the status says that the volume is in use. Raises VolumeWaits."""
        try:
            async with asyncio.timeout(REPORT_SECONDS):
                while name not in self._reported:
                    await self._written.wait()
        except TimeoutError:
            raise VolumeWaits("the node's status could not be written") from None

    def attached(self, name: str) -> bool:
        """Whether the controller has attached the volume to this node."""
        node = self._node()
        return node is not None and any(a.name == name for a in node.status.volumes_attached)
