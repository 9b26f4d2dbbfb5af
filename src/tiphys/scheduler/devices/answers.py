"""For which nodes there are devices: asked again only of nodes where somebody took or gave back some."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from tiphys.api import codec
from tiphys.api.types.core_v1 import NodeSelector
from tiphys.scheduler.devices.allocator import MAXIMUM_STEPS, MAXIMUM_STEPS_OF_NODE, Allocator, Selects
from tiphys.scheduler.devices.requests import Asked
from tiphys.scheduler.devices.search import Steps, Unsatisfiable
from tiphys.scheduler.devices.state import DeviceState

MAXIMUM_KEPT: Final = 64
"""Kinds of claims whose answers are kept."""

_UNKNOWN: Final = (-1, "")


class Answers:
    """Kept per what claims ask for, not per claim: those made from one template share them."""

    def __init__(self, state: DeviceState) -> None:
        self._state = state
        self._kept: OrderedDict[bytes, dict[str, tuple[int, str]]] = OrderedDict()
        self._epoch = (-1, -1)

    @property
    def are_local(self) -> bool:
        """Whether every device is of one node."""
        return self._state.allocator().is_local

    def local(self, asked: Sequence[Asked]) -> Mapping[str, tuple[int, str]]:
        """By node that has devices of its own: (version, why it cannot satisfy the claims, empty if it can).

        Only if all devices are local. Raises ClaimProblem.
        """
        state, allocator = self._state, self._state.allocator()
        kept = self._of(asked)
        stale = [
            name for name in allocator.nodes if (known := kept.get(name)) is None or known[0] != state.version(name)
        ]
        steps = _steps()
        for name in stale:
            kept[name] = (state.version(name), reason(allocator, asked, name, _nothing, steps))
        return kept

    def each(self, asked: Sequence[Asked], nodes: Iterable[tuple[str, Selects]]) -> dict[str, str]:
        """The same of these nodes, when there are devices of several nodes."""
        allocator, steps = self._state.allocator(), _steps()
        return {name: reason(allocator, asked, name, selects, steps) for name, selects in nodes}

    def _of(self, asked: Sequence[Asked]) -> dict[str, tuple[int, str]]:
        epoch = (self._state.inventory.epoch, self._state.classes_epoch)
        if epoch != self._epoch:
            self._kept.clear()
            self._epoch = epoch
        key = b"\n".join(codec.encode(each.claim.spec) for each in asked)
        kept = self._kept.setdefault(key, {})
        self._kept.move_to_end(key)
        if len(self._kept) > MAXIMUM_KEPT:
            self._kept.popitem(last=False)
        return kept


def reason(allocator: Allocator, asked: Sequence[Asked], node_name: str, selects: Selects, steps: Steps) -> str:
    """Why the node cannot satisfy the claims; empty if it can. Raises ClaimProblem."""
    try:
        allocator.allocate(asked, node_name, selects, steps)
    except Unsatisfiable as problem:
        return str(problem)
    return ""


def _steps() -> Steps:
    return Steps(MAXIMUM_STEPS, MAXIMUM_STEPS_OF_NODE)


def _nothing(_: NodeSelector) -> bool:
    return False
