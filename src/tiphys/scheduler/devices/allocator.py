"""Which devices claims get on a node: the same for the same cluster.

Devices are tried in the order of pools and slices: what is found first is taken, as upstream does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final

from tiphys.api.types.core_v1 import NodeSelector
from tiphys.scheduler.devices.inventory import DeviceId, Inventory, Offer, Pool
from tiphys.scheduler.devices.requests import Asked
from tiphys.scheduler.devices.search import Counters, Grant, Search, Steps
from tiphys.scheduler.devices.usage import Usage

MAXIMUM_STEPS: Final = 400_000
"""Devices tried for one pod; it takes half a second."""
MAXIMUM_STEPS_OF_NODE: Final = 20_000
Selects = Callable[[NodeSelector], bool]
"""Whether the node at hand is selected."""


class Allocator:
    """Finds devices in what was offered when it was made; what is in use is looked up as of now."""

    def __init__(self, inventory: Inventory, usage: Usage) -> None:
        self._usage = usage
        self._local: dict[str, list[tuple[Pool, Offer]]] = {}
        self._wide: list[tuple[Pool, Offer]] = []
        self._node_of: dict[DeviceId, str] = {}
        # What is ready at once comes first.
        for pool in sorted(inventory.pools(), key=_has_conditions):
            nodes = {offer.reach.node_name for offer in pool.offers}
            for offer in pool.offers:
                name = offer.reach.node_name
                (self._local.setdefault(name, []) if name else self._wide).append((pool, offer))
                # Devices that share something with those of other nodes concern these, too.
                self._node_of[offer.id] = name if len(nodes) == 1 or not offer.device.consumes_counters else ""

    @property
    def nodes(self) -> Collection[str]:
        """The names of nodes that have devices of their own."""
        return self._local.keys()

    @property
    def is_local(self) -> bool:
        """Whether every device is of one node."""
        return not self._wide

    def node_of(self, device: DeviceId) -> str | None:
        """The only node for which it matters who has the device; "" if there are several, None if no node."""
        return self._node_of.get(device)

    def allocate(
        self, asked: Sequence[Asked], node_name: str, selects: Selects, steps: Steps | None = None
    ) -> list[Grant]:
        """One Grant a claim. Raises Unsatisfiable, and ClaimProblem if it is no node's fault."""
        here = list(self._local.get(node_name, ()))
        here += [pair for pair in self._wide if (s := pair[1].reach.selector) is None or selects(s)]
        steps = steps or Steps(MAXIMUM_STEPS, MAXIMUM_STEPS_OF_NODE)
        steps.next_node()
        return Search(asked, here, self._usage, Counters(self._usage), steps).run()


def _has_conditions(pool: Pool) -> bool:
    return any(offer.device.binding_conditions for offer in pool.offers)
