"""The filters' words as a person would put them. Documents for programs keep upstream's."""

from __future__ import annotations

from typing import Final

from tiphys.scheduler import messages

_INSUFFICIENT: Final = "Insufficient "
_PHRASES: Final = {
    "Too many pods": "as many pods as allowed",
    "node(s) were unschedulable": "cordoned",
    "node(s) had untolerated taint(s)": "taints it does not tolerate",
    "node(s) didn't match Pod's node affinity/selector": "its nodeSelector or node affinity does not match",
    "node(s) didn't match scheduler-enforced node affinity": "left out by the scheduler's configuration",
    "node(s) didn't have free ports for the requested pod ports": "its host port is in use",
    "node(s) didn't match pod affinity rules": "no pod near that it must be near to",
    "node(s) didn't match pod anti-affinity rules": "a pod near that it must be apart from",
    "node(s) didn't satisfy existing pods anti-affinity rules": "a pod near that must be apart from it",
    "node(s) didn't match pod topology spread constraints": "its pods would be spread too unevenly",
    "node(s) didn't match pod topology spread constraints (missing required label)": "no label that it spreads over",
    "node(s) had volume node affinity conflict": "its volume cannot be reached",
    "node(s) didn't find available persistent volumes to bind": "no volume for its claim",
    "node(s) did not have enough free storage": "not enough free storage",
    "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)": "its claim's volume does not exist",
    "node(s) had no available volume zone": "not in its volume's zone",
    "node(s) exceed max volume count": "as many volumes as allowed",
    "node(s) had no available disk": "a pod there uses its disk",
    "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode": (
        "its claim is for one pod, and another has it"
    ),
    "cannot allocate all claims": "not the devices that its claims ask for",
    "resourceclaim not available on the node": "its claim's devices cannot be reached",
    messages.NOMINATED_ROOM: "the room is promised to more important pods",
}


def phrase(reason: str) -> str:
    """``not enough cpu`` for ``Insufficient cpu``; what is not known is as it was."""
    if reason.startswith(_INSUFFICIENT):
        return f"not enough {reason.removeprefix(_INSUFFICIENT)}"
    return _PHRASES.get(reason, reason)
