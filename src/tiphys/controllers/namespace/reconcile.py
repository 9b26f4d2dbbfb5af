"""What a namespace that is being deleted reports, and when it is done. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from tiphys.api.types.core_v1 import Namespace, NamespaceCondition, NamespaceStatus
from tiphys.base.clock import rfc3339
from tiphys.controllers import conditions

FINALIZER: Final = "kubernetes"

_GOOD: Final = {
    "NamespaceDeletionDiscoveryFailure": ("ResourcesDiscovered", "All resources successfully discovered"),
    "NamespaceDeletionGroupVersionParsingFailure": (
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed",
    ),
    "NamespaceDeletionContentFailure": (
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    "NamespaceContentRemaining": ("ContentRemoved", "All content successfully removed"),
    "NamespaceFinalizersRemaining": ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
}


@dataclass(slots=True)
class Emptied:
    """What one pass over a namespace's content found.

    `remaining`: objects left, by ``plural.group``; `finalizers`: how many of them carry each finalizer. `unavailable`
    are those of the discovery's failures that are a server's of its own, which is not there: what it keeps of the
    namespace is its own too, and holds nothing here.
    """

    discovery_failures: list[str] = field(default_factory=list)
    unavailable: frozenset[str] = frozenset()
    deletion_failures: list[str] = field(default_factory=list)
    remaining: dict[str, int] = field(default_factory=dict)
    finalizers: dict[str, int] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left and nothing is unknown."""
        unknown = [name for name in self.discovery_failures if name not in self.unavailable]
        return not (unknown or self.deletion_failures or self.remaining)


def status(namespace: Namespace, emptied: Emptied, now: float) -> NamespaceStatus:
    """The status to report after a pass."""
    bad = _bad(emptied)
    kept = namespace.status.conditions
    moment = rfc3339(now)
    for type_, (reason, message) in _GOOD.items():
        failing = bad.get(type_)
        fresh = NamespaceCondition(
            type=type_,
            status="True" if failing else "False",
            reason=failing[0] if failing else reason,
            message=failing[1] if failing else message,
            last_transition_time=moment,
        )
        kept = conditions.with_condition(kept, fresh, compare_message=True)
    return msgspec.structs.replace(namespace.status, phase="Terminating", conditions=_ordered(kept))


def _ordered(kept: tuple[NamespaceCondition, ...]) -> tuple[NamespaceCondition, ...]:
    order = list(_GOOD)
    return tuple(sorted(kept, key=lambda c: order.index(c.type) if c.type in order else len(order)))


def _bad(emptied: Emptied) -> Mapping[str, tuple[str, str]]:
    bad: dict[str, tuple[str, str]] = {}
    if emptied.discovery_failures:
        text = "Discovery failed for some groups, {} failing: {}"
        names = ", ".join(sorted(emptied.discovery_failures))
        message = text.format(len(emptied.discovery_failures), names)
        bad["NamespaceDeletionDiscoveryFailure"] = ("DiscoveryFailed", message)
    if emptied.deletion_failures:
        message = "Failed to delete all resource types, {} remaining: {}".format(
            len(emptied.deletion_failures), ", ".join(sorted(emptied.deletion_failures))
        )
        bad["NamespaceDeletionContentFailure"] = ("ContentDeletionFailed", message)
    if emptied.remaining:
        parts = [f"{name} has {count} resource instances" for name, count in sorted(emptied.remaining.items())]
        bad["NamespaceContentRemaining"] = (
            "SomeResourcesRemain",
            f"Some resources are remaining: {', '.join(parts)}",
        )
    if emptied.finalizers:
        parts = [f"{name} in {count} resource instances" for name, count in sorted(emptied.finalizers.items())]
        bad["NamespaceFinalizersRemaining"] = (
            "SomeFinalizersRemain",
            f"Some content in the namespace has finalizers remaining: {', '.join(parts)}",
        )
    return bad


def finalized(namespace: Namespace) -> Namespace:
    """The namespace without this controller's finalizer: to PUT to its finalize subresource."""
    left = tuple(name for name in namespace.spec.finalizers if name != FINALIZER)
    return msgspec.structs.replace(namespace, spec=msgspec.structs.replace(namespace.spec, finalizers=left))
