"""What is known of claims and devices, and what was given away but is not yet written.

claim without devices ──assume──► in flight ──seen with an allocation──► allocated
    ▲         ▲                       │                                      │
    │         └──its last pod is unreserved                                  │
    └──────────────────────seen without──────────────────────────────────────┘
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tiphys.api.types.core_v1 import Pod
from tiphys.api.types.resource_v1 import AllocationResult, DeviceClass, ResourceClaim, ResourceSlice
from tiphys.scheduler.devices.allocator import Allocator
from tiphys.scheduler.devices.inventory import Inventory
from tiphys.scheduler.devices.requests import ClaimProblem
from tiphys.scheduler.devices.usage import Usage

ClaimKey = tuple[str, str]
PodKey = tuple[str, str]


class DeviceState:
    """Pure: changed by calls, and then `epoch` moves."""

    def __init__(self) -> None:
        self.inventory = Inventory()
        self.classes: dict[str, DeviceClass] = {}
        self.classes_epoch = 0
        self.claims: dict[ClaimKey, ResourceClaim] = {}
        self.in_flight: dict[str, AllocationResult] = {}
        """By a claim's uid what it is to get, until it is seen to have something."""
        self.usage = Usage()
        self._holders: dict[str, set[PodKey]] = {}
        """By a claim's uid the pods that were placed by it and are not bound yet."""
        self._changes = 0
        self._allocator: tuple[int, Allocator] | None = None
        self._moved: Counter[str] = Counter()
        self._moved_everywhere = 0

    @property
    def epoch(self) -> int:
        return self._changes + self.inventory.epoch

    def version(self, node_name: str) -> int:
        """Moves when who has what has changed for that node, if devices have stayed as they are."""
        return self._moved_everywhere + self._moved[node_name]

    def observe_slice(self, made: ResourceSlice, *, gone: bool = False) -> None:
        self.inventory.observe(made, gone=gone)

    def observe_class(self, made: DeviceClass, *, gone: bool = False) -> None:
        self.classes[made.metadata.name or ""] = made
        if gone:
            del self.classes[made.metadata.name or ""]
        self.classes_epoch += 1
        self._changes += 1

    def observe_claim(self, made: ResourceClaim, *, gone: bool = False) -> None:
        """What a watch says. It may be older than what `observe_answer` said; then it is not news."""
        key = (made.metadata.namespace or "", made.metadata.name or "")
        before = self.claims.get(key)
        if before is not None and not gone and _is_older(made, before):
            return
        if before is not None:
            del self.claims[key]
            self._count(before.status.allocation, -1)
        if not gone:
            self.claims[key] = made
            self._count(made.status.allocation, 1)
        if gone or made.status.allocation is not None:
            self.forget(made.metadata.uid or "")
        if gone:
            self._holders.pop(made.metadata.uid or "", None)
        self._changes += 1

    def observe_answer(self, made: ResourceClaim) -> None:
        """What the apiserver answered to our write. A claim that is gone meanwhile stays so."""
        known = self.claims.get((made.metadata.namespace or "", made.metadata.name or ""))
        if known is not None and known.metadata.uid == made.metadata.uid:
            self.observe_claim(made)

    def assume(self, uid: str, result: AllocationResult) -> None:
        """The claim is to get that."""
        self.forget(uid)
        self.in_flight[uid] = result
        self._count(result, 1)
        self._changes += 1

    def hold(self, uid: str, pod: PodKey) -> None:
        """The pod was placed by what the claim has or is to get."""
        self._holders.setdefault(uid, set()).add(pod)

    def is_held(self, uid: str) -> bool:
        """Whether a pod was placed by it that is not bound yet."""
        return uid in self._holders

    def release(self, uid: str, pod: PodKey) -> None:
        """The pod is bound, or needs the claim no more. What a claim that nobody holds was to get, it does not get."""
        holders = self._holders.get(uid, set())
        holders.discard(pod)
        if not holders:
            self._holders.pop(uid, None)
            self.forget(uid)

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
        """One that knows the present; the same as long as the devices are."""
        if self._allocator is None or self._allocator[0] != self.inventory.epoch:
            self._allocator = (self.inventory.epoch, Allocator(self.inventory, self.usage))
        return self._allocator[1]

    def claims_of(self, pod: Pod) -> list[ResourceClaim]:
        """The pod's claims, in order. Raises ClaimProblem when it must wait for one."""
        generated = {each.name for each in pod.spec.resource_claims if each.resource_claim_template_name}
        return [self._claim_of(pod, name, key, is_own=name in generated) for name, key in claim_names(pod)]

    def _claim_of(self, pod: Pod, name: str, key: ClaimKey | None, *, is_own: bool) -> ResourceClaim:
        where = f"{pod.metadata.namespace}/{pod.metadata.name}"
        if key is None:
            raise ClaimProblem(
                f'pod "{where}": pod claim {name}: waiting for dynamic resource controller to create the resourceclaim'
            )
        claim = self.claims.get(key)
        if claim is None:
            raise ClaimProblem(f'resourceclaim "{key[1]}" not found')
        if claim.metadata.deletion_timestamp is not None:
            raise ClaimProblem(f'resourceclaim "{key[1]}" is being deleted')
        if is_own and not any(o.controller and o.uid == pod.metadata.uid for o in claim.metadata.owner_references):
            raise ClaimProblem(
                f"ResourceClaim {key[0]}/{key[1]} was not created for pod {where} (pod is not owner)",
            )
        return claim

    def _count(self, result: AllocationResult | None, sign: int) -> None:
        changed = self.usage.count(result, sign)
        if changed and self._allocator is not None:
            for device in changed:
                node = self._allocator[1].node_of(device)
                if node:
                    self._moved[node] += 1
                elif node is not None:
                    self._moved_everywhere += 1


def _is_older(one: ResourceClaim, other: ResourceClaim) -> bool:
    """Of two versions of one claim; of different claims the one that is seen later is newer."""
    if one.metadata.uid != other.metadata.uid:
        return False
    try:
        return int(one.metadata.resource_version or "") < int(other.metadata.resource_version or "")
    except ValueError:
        return False


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
