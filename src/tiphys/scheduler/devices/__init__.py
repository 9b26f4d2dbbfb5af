"""Dynamic Resource Allocation with structured parameters: which devices a pod's claims get, on which nodes.

What may enter: arithmetic on ResourceSlices, DeviceClasses and ResourceClaims. Pure: no I/O, no clock.
Source: Kubernetes documentation, "Dynamic Resource Allocation"; KEP-4381.
"""

from tiphys.scheduler.devices.allocator import Allocator
from tiphys.scheduler.devices.inventory import DeviceId, Inventory, Offer, Pool
from tiphys.scheduler.devices.requests import ClaimProblem
from tiphys.scheduler.devices.results import allocation
from tiphys.scheduler.devices.search import Grant, Unsatisfiable
from tiphys.scheduler.devices.usage import Usage

__all__ = [
    "Allocator",
    "ClaimProblem",
    "DeviceId",
    "Grant",
    "Inventory",
    "Offer",
    "Pool",
    "Unsatisfiable",
    "Usage",
    "allocation",
]
