"""What a simulation found, as plain data: its JSON is the interface for programs."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Cause(StrEnum):
    """Why a pod was to be placed."""

    PENDING = "pending"  # it waited before anything was changed
    DRAINED = "drained"
    NODE_REMOVED = "node removed"
    PREEMPTED = "preempted"
    ADDED = "added"
    SCALED_UP = "scaled up"
    RECREATED = "recreated"  # deleted, and made again by its owner
    RESCHEDULED = "rescheduled"


class _Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A part of an outcome. Pods are named ``namespace/name``, owners ``Deployment/web``; empty: none."""


class Placement(_Part, frozen=True):
    """The pod would run on `node`. `was`: where it was before, empty if nowhere."""

    pod: str
    owner: str
    cause: Cause
    was: str
    node: str


class Pending(_Part, frozen=True):
    """The pod would wait for a node."""

    pod: str
    owner: str
    cause: Cause
    was: str
    reason: str
    """As the scheduler would report it: ``0/3 nodes are available: …``."""
    plugins: tuple[str, ...]
    """Which stand in the way."""
    gated: bool
    """It is not even considered, by its own will; no node would change that."""


class Victim(_Part, frozen=True):
    """The pod would be removed from `node` so that the more important pod `by` fits."""

    pod: str
    owner: str
    node: str
    by: str
    recreated: bool
    """Its owner makes it again; how that goes is among `placements` or `pending`."""


class Gone(_Part, frozen=True):
    """The pod would be gone and nobody would make it again."""

    pod: str
    owner: str
    node: str
    why: str
    lost: bool
    """Nobody asked for that: it has no owner, and its node is drained or removed."""


class Stayed(_Part, frozen=True):
    """The pod is left on the drained node."""

    pod: str
    owner: str
    node: str
    why: str


class Budget(_Part, frozen=True):
    """A PodDisruptionBudget (``namespace/name``) that covers pods which would be moved."""

    name: str
    allowed: int
    """How many disruptions it allows now."""
    evicted: int
    """How many of its pods the drains evict: above `allowed`, a drain waits until replacements are ready."""
    preempted: int
    """How many of its pods are preempted; preemption does not wait."""


class Room(_Part, frozen=True):
    """What pods request of a node, or what it has."""

    pods: int
    cpu_millis: int
    memory_bytes: int


class NodeUse(_Part, frozen=True):
    """A node's use before and after; None: it was, or would, not be there."""

    name: str
    change: str
    """``added``, ``removed``, ``cordoned``, ``drained``, ``uncordoned`` or empty."""
    allocatable: Room
    before: Room | None
    after: Room | None


class Totals(_Part, frozen=True):
    """Numbers of nodes, of pods on nodes, and of pods without one."""

    nodes: int
    placed: int
    pending: int


class Outcome(_Part, frozen=True):
    """What would be. `nodes` by name; everything else in the order in which it would happen."""

    seed: int
    changes: tuple[str, ...]
    before: Totals
    after: Totals
    placements: tuple[Placement, ...]
    pending: tuple[Pending, ...]
    preempted: tuple[Victim, ...]
    gone: tuple[Gone, ...]
    stayed: tuple[Stayed, ...]
    budgets: tuple[Budget, ...]
    nodes: tuple[NodeUse, ...]
    notes: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Whether no pod would wait for a node, but for gated ones."""
        return all(pod.gated for pod in self.pending)


def encode(outcome: Outcome) -> bytes:
    """Indented JSON."""
    return msgspec.json.format(msgspec.json.encode(outcome), indent=2)
