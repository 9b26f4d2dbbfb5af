"""Writes ``spec.podCIDR`` of nodes that have none."""

from __future__ import annotations

from tiphys.api.types.core_v1 import Node
from tiphys.base.logging import get_logger
from tiphys.client import WARNING, ObjectKey
from tiphys.controllers.nodeipam.reconcile import RangeError, Ranges
from tiphys.controllers.runtime import Environment, KeyedController

_logger = get_logger(__name__)


class NodeIPAMController(KeyedController):
    """Does nothing without a cluster CIDR."""

    name = "node-ipam-controller"
    workers = 1

    def __init__(self, environment: Environment) -> None:
        super().__init__()
        self._client = environment.client
        self._recorder = environment.recorder("cidrAllocator")
        self._nodes = environment.informer(Node)
        cidr = environment.config.cluster_cidr
        self._ranges = Ranges(cidr, environment.config.node_cidr_mask_size) if cidr else None
        self._given: dict[str, str] = {}
        if self._ranges is not None:
            self._nodes.add_handler(
                on_add=self._node_seen, on_update=lambda _, new: self._node_seen(new), on_delete=self._node_gone
            )

    async def sync(self, key: ObjectKey) -> None:
        node = self._nodes.get(key.name)
        if node is None or node.spec.pod_cidr or self._ranges is None:
            return
        given = self._given.get(key.name)
        if given is None:
            try:
                given = self._given[key.name] = self._ranges.allocate(key.name)
            except RangeError as error:
                text = f"Node {key.name} status is now: CIDRNotAvailable"
                self._recorder.event(node, WARNING, "CIDRNotAvailable", text)
                _logger.warning("no pod CIDR for a node", node=key.name, error=str(error))
                # Another node must go first.
                self.queue.add_after(key, 30.0)
                return
        await self._client.patch(
            Node, key.name, "", {"spec": {"podCIDR": given, "podCIDRs": [given]}}, type="strategic"
        )

    def _node_seen(self, node: Node) -> None:
        name, cidr = node.metadata.name or "", node.spec.pod_cidr
        if not cidr:
            self.enqueue(node)
            return
        if self._ranges is None or self._given.get(name) == cidr:
            return
        try:
            self._ranges.occupy(cidr, name)
        except (RangeError, ValueError) as error:
            _logger.warning("a node's pod CIDR is not of the cluster's", node=name, cidr=cidr, error=str(error))
            return
        self._given[name] = cidr

    def _node_gone(self, node: Node) -> None:
        given = self._given.pop(node.metadata.name or "", None)
        if given is not None and self._ranges is not None:
            self._ranges.release(given, node.metadata.name or "")
