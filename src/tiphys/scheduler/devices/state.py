"""What is known of claims and devices, and what was given away but is not yet written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tiphys.api.types.core_v1 import Pod
from tiphys.api.types.resource_v1 import AllocationResult, DeviceClass, ResourceClaim, ResourceSlice
from tiphys.scheduler.devices.allocator import Allocator
from tiphys.scheduler.devices.inventory import DeviceId, Inventory
from tiphys.scheduler.devices.requests import ClaimProblem

ClaimKey = tuple[str, str]


class DeviceState:
    """Pure: changed by calls. `epoch` moves with everything that an allocation depends on."""

    def __init__(self) -> None:
        self.inventory = Inventory()
        self.classes: dict[str, DeviceClass] = {}
        self.claims: dict[ClaimKey, ResourceClaim] = {}
        #: By a claim's uid what it is to get; until it is seen to have it.
        self.in_flight: dict[str, AllocationResult] = {}
        self._taken: Counter[DeviceId] = Counter()
        self._changes = 0
        self._allocator: tuple[int, Allocator] | None = None

    @property
    def epoch(self) -> int:
        return self._changes + self.inventory.epoch

    def observe_slice(self, made: ResourceSlice, *, gone: bool = False) -> None:
        self.inventory.observe(made, gone=gone)

    def observe_class(self, made: DeviceClass, *, gone: bool = False) -> None:
        self.classes[made.metadata.name or ""] = made
        if gone:
            del self.classes[made.metadata.name or ""]
        self._changes += 1

    def observe_claim(self, made: ResourceClaim, *, gone: bool = False) -> None:
        key = (made.metadata.namespace or "", made.metadata.name or "")
        before = self.claims.pop(key, None)
        if before is not None:
            self._count(before.status.allocation, -1)
        if not gone:
            self.claims[key] = made
            self._count(made.status.allocation, 1)
        if gone or made.status.allocation is not None:
            self.forget(made.metadata.uid or "")
        self._changes += 1

    def assume(self, uid: str, result: AllocationResult) -> None:
        """The claim is to get that."""
        self.forget(uid)
        self.in_flight[uid] = result
        self._count(result, 1)
        self._changes += 1

    def forget(self, uid: str) -> None:
        """The claim has it, or does not get it. Idempotent."""
        result = self.in_flight.pop(uid, None)
        if result is not None:
            self._count(result, -1)
            self._changes += 1

    def allocation_of(self, claim: ResourceClaim) -> AllocationResult | None:
        """What the claim has, or is to get."""
        return claim.status.allocation or self.in_flight.get(claim.metadata.uid or "")

    def allocator(self) -> Allocator:
        """One that knows the present."""
        if self._allocator is None or self._allocator[0] != self.epoch:
            self._allocator = (self.epoch, Allocator(self.inventory, frozenset(self._taken)))
        return self._allocator[1]

    def claims_of(self, pod: Pod) -> list[ResourceClaim]:
        """The pod's claims, in order. Raises ClaimProblem when it must wait for one."""
        return [self._claim_of(pod, name, key) for name, key in claim_names(pod)]

    def _claim_of(self, pod: Pod, name: str, key: ClaimKey | None) -> ResourceClaim:
        if key is None:
            where = f"{pod.metadata.namespace}/{pod.metadata.name}"
            raise ClaimProblem(
                f'pod "{where}": pod claim {name}: waiting for dynamic resource controller to create the resourceclaim'
            )
        claim = self.claims.get(key)
        if claim is None:
            raise ClaimProblem(f'resourceclaim "{key[1]}" not found')
        if claim.metadata.deletion_timestamp is not None:
            raise ClaimProblem(f'resourceclaim "{key[1]}" is being deleted')
        return claim

    def _count(self, result: AllocationResult | None, sign: int) -> None:
        for device in result.devices.results if result is not None and result.devices is not None else ():
            if not device.admin_access:
                self._taken[device.driver, device.pool, device.device] += sign
                if not self._taken[device.driver, device.pool, device.device]:
                    del self._taken[device.driver, device.pool, device.device]


def claim_names(pod: Pod) -> Iterator[tuple[str, ClaimKey | None]]:
    """(name in the pod, the claim; None: it is not made yet). A claim that turned out not to be needed is left out."""
    made = {status.name: status.resource_claim_name for status in pod.status.resource_claim_statuses}
    namespace = pod.metadata.namespace or ""
    for claim in pod.spec.resource_claims:
        if claim.resource_claim_name:
            yield claim.name, (namespace, claim.resource_claim_name)
        elif claim.name not in made:
            yield claim.name, None
        elif name := made[claim.name]:
            yield claim.name, (namespace, name)
