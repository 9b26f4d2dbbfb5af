"""Where a volume must be attached, where no longer, and when that is safe. Pure.

                 wanted                    attached by the driver
    (nothing) ────────────► attachment ──────────────────────────────► reported to the node ──► the kubelet mounts
        ▲                                                                   │ wanted no more
        └──── deleted: the driver detaches ◄── not in use, or forced ── not reported any more

Source: Kubernetes documentation, "Non-graceful node shutdown" (six minutes, out-of-service) and "Access Modes".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Final

from tiphys.api.types.core_v1 import Node, PersistentVolume, Pod
from tiphys.controllers.pods import is_terminal

MANAGED: Final = "volumes.kubernetes.io/controller-managed-attach-detach"
OUT_OF_SERVICE: Final = "node.kubernetes.io/out-of-service"
FORCE_DETACH_SECONDS: Final = 360.0
"""How long a volume in use keeps its place on a node that is not ready."""
_SHARED: Final = frozenset({"ReadWriteMany", "ReadOnlyMany"})


@dataclass(frozen=True, slots=True)
class Attachment:
    """A VolumeAttachment of the volume to one node."""

    name: str
    attached: bool
    deleting: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """A node as far as a volume is concerned. `in_use`: its kubelet says that it has the volume."""

    in_use: bool = False
    healthy: bool = True
    out_of_service: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    attach: tuple[str, ...] = ()
    """Nodes to make attachments for."""
    blocked: tuple[str, ...] = ()
    """Nodes that must wait for another to let go: a multi-attach error."""
    leave: tuple[str, ...] = ()
    """Nodes that must not begin to use the volume: it is about to be detached there."""
    detach: tuple[str, ...] = ()
    """Nodes whose attachments can be deleted now."""
    again_seconds: float | None = None


def is_shared(volume: PersistentVolume) -> bool:
    """Whether several nodes may have the volume at once."""
    return bool(_SHARED & set(volume.spec.access_modes))


def wants(pod: Pod) -> bool:
    """Whether the pod still needs its volumes: it has a node, and something of it runs or will run."""
    if not pod.spec.node_name or is_terminal(pod):
        return False
    if pod.metadata.deletion_timestamp is None:
        return True
    statuses = (*pod.status.container_statuses, *pod.status.init_container_statuses)
    return not statuses or any(s.state.running is not None for s in statuses)


def place_of(node: Node, unique: str) -> Place:
    """What the node's object says of the volume called `unique`."""
    return Place(
        in_use=unique in node.status.volumes_in_use,
        healthy=any(c.type == "Ready" and c.status == "True" for c in node.status.conditions),
        out_of_service=any(t.key == OUT_OF_SERVICE for t in node.spec.taints),
    )


def decide(
    wanted: Set[str],
    attachments: Mapping[str, Attachment],
    places: Mapping[str, Place],
    unwanted_seconds: Mapping[str, float],
    *,
    shared: bool,
) -> Decision:
    """What to do for one volume.

    `wanted` and `attachments` are by node name; `places` has the nodes that exist; `unwanted_seconds` says for how long
    a node's attachment has not been wanted.
    """
    leave, detach, again = _unneeded(wanted, attachments, places, unwanted_seconds)
    attach: list[str] = []
    blocked: list[str] = []
    for node in sorted(wanted - attachments.keys()):
        if not shared and (attachments or attach):
            blocked.append(node)
        else:
            attach.append(node)
    return Decision(tuple(attach), tuple(blocked), tuple(leave), tuple(detach), again)


def _unneeded(
    wanted: Set[str],
    attachments: Mapping[str, Attachment],
    places: Mapping[str, Place],
    unwanted_seconds: Mapping[str, float],
) -> tuple[list[str], list[str], float | None]:
    leave, detach, waits = [], [], []
    for node in sorted(attachments.keys() - wanted):
        if attachments[node].deleting:
            continue
        leave.append(node)
        place = places.get(node)
        left = FORCE_DETACH_SECONDS - unwanted_seconds.get(node, 0.0)
        if place is None or not place.in_use or place.out_of_service or (left <= 0 and not place.healthy):
            detach.append(node)
        elif left > 0:
            waits.append(left)
    return leave, detach, min(waits, default=None)


def multi_attach_message(volume_name: str, pod: Pod, others: Iterable[Pod]) -> str:
    """Upstream's words for why `pod` must wait."""
    names = sorted(p.metadata.name or "" for p in others if p.metadata.namespace == pod.metadata.namespace)
    elsewhere = sum(1 for p in others if p.metadata.namespace != pod.metadata.namespace)
    text = f'Multi-Attach error for volume "{volume_name}" Volume is already '
    if names:
        more = f" and {elsewhere} pod(s) in different namespaces" if elsewhere else ""
        return f"{text}used by pod(s) {', '.join(names)}{more}"
    if elsewhere:
        return f"{text}used by {elsewhere} pod(s) in different namespaces"
    return f"{text}exclusively attached to one node and can't be attached to another"
