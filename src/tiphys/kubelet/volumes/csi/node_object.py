"""The node's CSINode object, its topology labels and its id annotation: what the API is told of the node's drivers."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

import msgspec

from tiphys.api.csi_volumes import NODE_ID_ANNOTATION
from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import Node
from tiphys.api.types.meta_v1 import ObjectMeta, OwnerReference
from tiphys.api.types.storage_v1 import CSINode, CSINodeDriver, CSINodeSpec, VolumeNodeResources
from tiphys.client.client import Client
from tiphys.csi.types import NodeInfo

TRIES: Final = 8


class CsiNodeObject:
    """Adds and removes drivers; every method raises ApiError and OSError."""

    def __init__(self, client: Client, node_name: str) -> None:
        self._client = client
        self._name = node_name
        self._lock = asyncio.Lock()

    async def ensure(self) -> CSINode:
        """The object, made if there is none: the scheduler waits for it before it trusts what a node has."""
        try:
            return await self._client.get(CSINode, self._name)
        except ApiError as error:
            if error.code != 404:
                raise
        node = await self._client.get(Node, self._name)
        owner = OwnerReference(api_version="v1", kind="Node", name=self._name, uid=node.metadata.uid or "")
        return await self._client.create(CSINode(metadata=ObjectMeta(name=self._name, owner_references=(owner,))))

    async def add(self, name: str, node: NodeInfo) -> None:
        """Name the driver, where the node is in its topology, and how many volumes it may have here."""
        entry = CSINodeDriver(
            name=name,
            node_id=node.node_id,
            topology_keys=tuple(sorted(node.topology)),
            allocatable=VolumeNodeResources(count=node.maximum_volumes) if node.maximum_volumes else None,
        )
        async with self._lock:
            # Labels first: a driver in CSINode is one whose topology can be relied on.
            await self._annotate(name, node.node_id, dict(node.topology))
            await self._write(name, entry)

    async def remove(self, name: str) -> None:
        async with self._lock:
            await self._write(name, None)
            await self._annotate(name, None, {})

    async def _write(self, name: str, entry: CSINodeDriver | None) -> None:
        for attempt in range(TRIES):
            current = await self.ensure()
            others = tuple(d for d in current.spec.drivers if d.name != name)
            if entry in current.spec.drivers or (entry is None and len(others) == len(current.spec.drivers)):
                return
            drivers = others if entry is None else (*others, entry)
            try:
                await self._client.update(msgspec.structs.replace(current, spec=CSINodeSpec(drivers=drivers)))
                return
            except ApiError as error:
                if error.code != 409 or attempt == TRIES - 1:
                    raise

    async def _annotate(self, name: str, node_id: str | None, labels: dict[str, str]) -> None:
        node = await self._client.get(Node, self._name)
        before = node.metadata.annotations.get(NODE_ID_ANNOTATION, "")
        ids: dict[str, str] = {}
        try:
            ids = json.loads(before) if before else {}
        except ValueError:
            pass
        ids.pop(name, None)
        if node_id is not None:
            ids[name] = node_id
        after = json.dumps(ids, separators=(",", ":"), sort_keys=True) if ids else None
        change: dict[str, Any] = {}
        if (after or "") != before:
            change["annotations"] = {NODE_ID_ANNOTATION: after}
        fresh = {key: value for key, value in labels.items() if node.metadata.labels.get(key) != value}
        for key in fresh:
            if key in node.metadata.labels:
                raise ValueError(f"detected topology value collision: driver reported {key!r}:{labels[key]!r} but "
                                 f"existing label is {key!r}:{node.metadata.labels[key]!r}")  # fmt: skip
        if fresh:
            change["labels"] = fresh
        if change:
            await self._client.patch(Node, self._name, "", {"metadata": change}, type="merge")
