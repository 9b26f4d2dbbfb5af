"""What may be changed in a simulation: plain descriptions, applied in the order given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from tiphys.api.types.core_v1 import Node


class ChangeError(Exception):
    """A change cannot be made, for what it names is not there or makes no sense; the text says so."""


@dataclass(frozen=True, slots=True)
class Cordon:
    """No pod is placed on the node any more."""

    node: str

    def __str__(self) -> str:
        return f"cordon {self.node}"


@dataclass(frozen=True, slots=True)
class Uncordon:
    """Pods may be placed on the node again."""

    node: str

    def __str__(self) -> str:
        return f"uncordon {self.node}"


@dataclass(frozen=True, slots=True)
class Drain:
    """The node is cordoned and its pods are evicted; DaemonSet pods and static pods stay."""

    node: str

    def __str__(self) -> str:
        return f"drain {self.node}"


@dataclass(frozen=True, slots=True)
class RemoveNode:
    """The node is gone, as after a failure: whatever was on it, daemons too."""

    node: str

    def __str__(self) -> str:
        return f"remove node {self.node}"


@dataclass(frozen=True, slots=True)
class AddNodes:
    """More nodes, in use and empty: like one that is there, or like `node`."""

    count: int
    like: str = ""
    node: Node | None = None

    def __str__(self) -> str:
        model = self.like or (self.node.metadata.name if self.node is not None else "")
        return f"add {self.count} {'node' if self.count == 1 else 'nodes'} like {model}"


@dataclass(frozen=True, slots=True)
class Add:
    """Objects are created, each `count` times; a workload of that name which is there already is replaced by it."""

    objects: tuple[Any, ...]
    """Typed. Workloads become the pods that controllers would make of them."""
    count: int = 1

    def __str__(self) -> str:
        names = ", ".join(f"{obj.kind.lower()}/{obj.metadata.name}" for obj in self.objects[:3])
        more = f" and {len(self.objects) - 3} more" if len(self.objects) > 3 else ""
        times = f", {self.count} times" if self.count != 1 else ""
        return f"add {names}{more}{times}"


@dataclass(frozen=True, slots=True)
class Scale:
    """A workload has another number of replicas. `kind` as kubectl takes it: ``deployment``, ``sts``."""

    kind: str
    name: str
    replicas: int
    namespace: str = "default"

    def __str__(self) -> str:
        return f"scale {self.kind}/{self.name} to {self.replicas}"


@dataclass(frozen=True, slots=True)
class Delete:
    """An object is deleted, with the pods it owns. A pod that is owned is made again by its owner."""

    kind: str
    name: str
    namespace: str = "default"

    def __str__(self) -> str:
        return f"delete {self.kind}/{self.name}"


@dataclass(frozen=True, slots=True)
class RescheduleAll:
    """Every pod that a scheduler places is placed anew, the most important first, then the oldest."""

    def __str__(self) -> str:
        return "place everything anew"


Change: TypeAlias = Cordon | Uncordon | Drain | RemoveNode | AddNodes | Add | Scale | Delete | RescheduleAll
