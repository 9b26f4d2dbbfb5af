"""Remedies, by the plugin that stands in the way: each module thinks of changes; `search` finds out which help."""

from typing import Final

from tiphys.scheduler.explaining.remedies.candidate import Candidate, Fixer, Scene
from tiphys.scheduler.explaining.remedies.claims import (
    claims_and_volumes,
    fewer_volumes,
    notes,
    only_user,
    volumes_on_nodes,
)
from tiphys.scheduler.explaining.remedies.devices import create_claims, free_devices
from tiphys.scheduler.explaining.remedies.evictions import evict
from tiphys.scheduler.explaining.remedies.lower_requests import lower_requests
from tiphys.scheduler.explaining.remedies.more_nodes import add_fitting_node, add_node
from tiphys.scheduler.explaining.remedies.neighbours import drop_or_part
from tiphys.scheduler.explaining.remedies.nodes_and_taints import tolerate, uncordon
from tiphys.scheduler.explaining.remedies.ports import free_ports
from tiphys.scheduler.explaining.remedies.selectors import change_selectors
from tiphys.scheduler.explaining.remedies.spreading import relax_spreading

__all__ = [
    "FIXERS",
    "Candidate",
    "Fixer",
    "Scene",
    "add_fitting_node",
    "add_node",
    "claims_and_volumes",
    "create_claims",
    "notes",
]

FIXERS: Final[dict[str, tuple[Fixer, ...]]] = {
    "NodeUnschedulable": (uncordon,),
    "TaintToleration": (tolerate,),
    "NodeAffinity": (change_selectors,),
    "NodePorts": (free_ports,),
    "NodeResourcesFit": (lower_requests, evict),
    "InterPodAffinity": (drop_or_part,),
    "PodTopologySpread": (relax_spreading,),
    "DynamicResources": (free_devices,),
    "VolumeBinding": (volumes_on_nodes,),
    "VolumeRestrictions": (only_user,),
    "NodeVolumeLimits": (fewer_volumes,),
}
