"""What to do with one object, given what is known of its owners and dependents. Pure.

An owner is solid (exists), dangling (gone) or waiting (being deleted in the foreground: for its dependents).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from tiphys.api.types.meta_v1 import OwnerReference
from tiphys.controllers.garbagecollector.graph import FOREGROUND, ORPHAN, Node


class OwnerState(Enum):
    SOLID = "solid"
    DANGLING = "dangling"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class Nothing:
    """Leave it."""


@dataclass(frozen=True, slots=True)
class LookUp:
    """Owners that must be asked for first."""

    references: tuple[OwnerReference, ...]


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the object with this propagation policy."""

    propagation_policy: str


@dataclass(frozen=True, slots=True)
class DropOwners:
    """Take references to these uids off the object; its other owners keep it."""

    uids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unblock:
    """Two wait for each other: the object stops blocking its owners' deletion, then is deleted in the foreground."""


@dataclass(frozen=True, slots=True)
class RemoveFinalizer:
    """Nothing is waited for any longer."""

    finalizer: str


@dataclass(frozen=True, slots=True)
class Orphan:
    """Take this owner off its dependents, then its finalizer off it."""

    dependents: tuple[Node, ...]


Action = Nothing | LookUp | Delete | DropOwners | Unblock | RemoveFinalizer | Orphan


def decide(node: Node, owners: Mapping[str, OwnerState], dependents: Sequence[Node]) -> Action:
    """What to do with `node`, a real one. `owners`: what is known, by uid; one that is missing gets looked up."""
    if node.orphaning:
        return Orphan(tuple(dependents))
    if node.deleting:
        if not node.deleting_dependents:
            return Nothing()
        blocking = [d for d in dependents if d.blocks(node.uid)]
        return Nothing() if blocking else RemoveFinalizer(FOREGROUND)
    if not node.owners:
        return Nothing()
    unknown = tuple(ref for ref in node.owners if ref.uid not in owners)
    if unknown:
        return LookUp(unknown)
    states = {ref.uid: owners[ref.uid] for ref in node.owners}
    gone = tuple(uid for uid, state in states.items() if state is not OwnerState.SOLID)
    if len(gone) < len(states):
        return DropOwners(gone) if gone else Nothing()
    if OwnerState.WAITING in states.values() and dependents:
        if any(d.deleting_dependents for d in dependents):
            return Unblock()
        return Delete("Foreground")
    if ORPHAN in node.finalizers:
        return Delete("Orphan")
    return Delete("Foreground" if FOREGROUND in node.finalizers else "Background")
