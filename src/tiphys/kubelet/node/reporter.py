"""Registers the node and keeps its status true."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from typing import Any, Final

import msgspec

from tiphys.api import codec
from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import Node, NodeStatus
from tiphys.base.backoff import Backoff
from tiphys.base.clock import Clock
from tiphys.base.logging import get_logger
from tiphys.client.client import Client
from tiphys.cri.errors import CriError
from tiphys.cri.runtime import Runtime
from tiphys.cri.types import Image
from tiphys.kubelet.config import KubeletConfig
from tiphys.kubelet.node.description import Pressure, new_node, node_annotations, node_labels, node_status
from tiphys.kubelet.node.facts import HostFacts, memory_info
from tiphys.kubelet.volumes.node_volumes import NodeVolumes

IMAGES_SECONDS: Final = 60.0
NOT_READY_SECONDS: Final = 0.5
"""How soon an unready node is looked at again: pods wait for it."""
_logger = get_logger(__name__)


class NodeReporter:
    """`register` once, then `run`. `problem` says what else keeps the node from being ready ("" for nothing)."""

    def __init__(
        self,
        client: Client,
        runtime: Runtime,
        config: KubeletConfig,
        facts: HostFacts,
        clock: Clock,
        *,
        problem: Callable[[], str] = lambda: "",
        measure: bool = True,
        network: asyncio.Event | None = None,
        volumes: NodeVolumes | None = None,
    ) -> None:
        """`measure` looks at memory and disk; `network` is kept set while the runtime's pod network is ready.

        `volumes` in use are part of the status, and hear when it was written.
        """
        self._client = client
        self._runtime = runtime
        self._config = config
        self._facts = facts
        self._clock = clock
        self._problem = problem
        self._measure = measure
        self._network = network or asyncio.Event()
        self._sent: dict[str, Any] = {}
        self._conditions: dict[str, Any] = {}
        self._reported_at = 0.0
        self._images: list[Image] = []
        self._images_at = -IMAGES_SECONDS
        self._version = ""
        self._wake = asyncio.Event()
        self._volumes = volumes
        if volumes is not None:
            volumes.wake = self._wake.set
        self.ready = False

    def look_again(self) -> None:
        """Something about the node may have changed."""
        self._images_at = -IMAGES_SECONDS
        self._wake.set()

    def seen(self, node: Node) -> None:
        """The node's object as others left it: what they wrote over our conditions is written again at once.

        They call a node that was silent for a while unknown; only its next status says that it is back.
        """
        theirs = {c.type: c for c in node.status.conditions if c.type in self._conditions}
        ours = {type_: (c.status, c.reason) for type_, c in self._conditions.items()}
        if {type_: (c.status, c.reason) for type_, c in theirs.items()} != ours:
            self._conditions = theirs
            self._wake.set()

    async def register(self) -> Node:
        """Create the node's object, or take over the one there is. Tries until the API answers."""
        backoff = Backoff(0.1, 2.0, 5.0)
        while True:
            try:
                return await self._register_once()
            except ApiError as error:
                _logger.info("node not registered; trying again", error=error.message)
            except (OSError, TimeoutError) as error:
                _logger.info("node not registered; trying again", error=repr(error))
            await self._clock.sleep(backoff.next_seconds())

    async def _register_once(self) -> Node:
        status = await self._status()
        try:
            node = await self._client.create(new_node(self._config, self._facts, status))
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            node = await self._client.get(Node, self._config.node_name)
            labels, annotations = node_labels(self._config, self._facts), node_annotations(self._config)
            meta = node.metadata
            if not (labels.items() <= meta.labels.items() and annotations.items() <= meta.annotations.items()):
                change = {"metadata": {"labels": labels, "annotations": annotations}}
                await self._client.patch(Node, self._config.node_name, "", change)
            self._conditions = {c.type: c for c in node.status.conditions}
        self._sent = codec.to_dict(node.status)
        await self.report(force=True)
        return node

    async def run(self) -> None:
        """Until cancelled: look every so often, write what changed."""
        backoff = Backoff(0.5, 2.0, 10.0)
        while True:
            try:
                await self.report()
                backoff.reset()
                pause = self._config.status_check_seconds if self.ready else NOT_READY_SECONDS
            except ApiError as error:
                if error.code == 404:
                    _logger.warning("the node's object was deleted: registering again")
                    await self.register()
                    continue
                pause = backoff.next_seconds()
                _logger.info("node status not written", error=error.message)
            except (OSError, TimeoutError) as error:
                pause = backoff.next_seconds()
                _logger.info("node status not written", error=repr(error))
            await self._pause(pause)

    async def _pause(self, seconds: float) -> None:
        sleeping = asyncio.ensure_future(self._clock.sleep(seconds))
        waking = asyncio.ensure_future(self._wake.wait())
        try:
            await asyncio.wait((sleeping, waking), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            waking.cancel()
        self._wake.clear()

    async def report(self, *, force: bool = False) -> None:
        """Write the status if it changed, or is old. Raises ApiError and OSError."""
        status = await self._status()
        new = codec.to_dict(status)
        now = self._clock.monotonic()
        changed = {k: v for k, v in new.items() if k != "conditions" and self._sent.get(k) != v}
        emptied = "volumesInUse" in self._sent and "volumesInUse" not in new
        stale = force or emptied or now - self._reported_at >= self._config.status_report_seconds
        if not changed and not stale and not self._conditions_changed(status):
            self._tell_volumes(status)
            return
        patch = {**changed, "conditions": new["conditions"]}
        if emptied:
            patch["volumesInUse"] = None
        if "addresses" in patch and self._sent.get("addresses"):
            patch["addresses"] = [*patch["addresses"], {"$patch": "replace"}]
        await self._client.patch(
            Node, self._config.node_name, "", {"status": patch}, type="strategic", subresource="status"
        )
        self._sent = {**self._sent, **new}
        if emptied:
            del self._sent["volumesInUse"]
        self._tell_volumes(status)
        self._conditions = {c.type: c for c in status.conditions}
        self._reported_at = now
        if self.ready != (_ready := all(c.status == "True" for c in status.conditions if c.type == "Ready")):
            _logger.info("node is ready" if _ready else "node is not ready", node=self._config.node_name)
            self.ready = _ready

    def _tell_volumes(self, status: NodeStatus) -> None:
        if self._volumes is not None:
            self._volumes.reported(status.volumes_in_use)

    def _conditions_changed(self, status: NodeStatus) -> bool:
        for condition in status.conditions:
            before = self._conditions.get(condition.type)
            if before is None:
                return True
            if msgspec.structs.replace(condition, last_heartbeat_time=before.last_heartbeat_time) != before:
                return True
        return False

    async def _status(self) -> NodeStatus:
        pressure = await self._pressure()
        now = self._clock.monotonic()
        if now - self._images_at >= IMAGES_SECONDS:
            try:
                self._images = await self._runtime.list_images()
                self._images_at = now
                if not self._version:
                    version = await self._runtime.version()
                    self._version = f"{version.runtime_name}://{version.runtime_version}"
            except CriError as error:
                _logger.info("images not listed", error=str(error))
        return node_status(
            self._config,
            self._facts,
            runtime_version=self._version,
            images=self._images,
            pressure=pressure,
            before=self._conditions,
            now=self._clock.now(),
            volumes_in_use=self._volumes.in_use() if self._volumes is not None else (),
        )

    async def _pressure(self) -> Pressure:
        not_ready = self._problem() or await self._runtime_problem()
        if not self._measure:
            return Pressure(not_ready=not_ready)
        disk = shutil.disk_usage(self._config.data_dir)
        return Pressure(
            memory=memory_info().get("MemAvailable", 1 << 62) < self._config.eviction_memory_bytes,
            disk=disk.free < disk.total * self._config.eviction_disk_share,
            not_ready=not_ready,
        )

    async def _runtime_problem(self) -> str:
        try:
            status = await self._runtime.status()
        except CriError as error:
            self._network.clear()
            return f"container runtime is down: {error}"
        if status.network_ready:
            self._network.set()
        else:
            self._network.clear()
        for type_, words in (("RuntimeReady", "container runtime"), ("NetworkReady", "container runtime network")):
            condition = status.condition(type_)
            if condition is None or not condition.status:
                reason = condition.reason if condition is not None else ""
                message = condition.message if condition is not None else ""
                return f"{words} not ready: {type_}=false reason:{reason} message:{message}"
        return ""
