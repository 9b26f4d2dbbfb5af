"""Which devices are given away, and how much of those that are shared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from tiphys.api.types.resource_v1 import AllocationResult
from tiphys.scheduler.devices.inventory import DeviceId

NOTHING: Final[Mapping[str, int]] = {}


class Usage:
    """What claims have, and what they are about to get. Access for administrators takes nothing from others."""

    def __init__(self) -> None:
        self._owners: Counter[DeviceId] = Counter()
        self._sharers: Counter[DeviceId] = Counter()
        self._shares: dict[DeviceId, Counter[str]] = {}

    @classmethod
    def of(cls, devices: Iterable[DeviceId]) -> Usage:
        """One in which these are taken as a whole."""
        usage = cls()
        usage._owners.update(devices)
        return usage

    def __contains__(self, device: DeviceId) -> bool:
        """Whether somebody has the device for itself."""
        return device in self._owners

    def is_used(self, device: DeviceId) -> bool:
        """Whether somebody has the device, or a share of it."""
        return device in self._owners or device in self._sharers

    def shares(self, device: DeviceId) -> Mapping[str, int]:
        """How much of each capacity of a shared device is taken, in thousandths."""
        return self._shares.get(device, NOTHING)

    def count(self, result: AllocationResult | None, sign: int) -> list[DeviceId]:
        """An allocation came (1) or went (-1); returns the devices that it takes from others."""
        changed: list[DeviceId] = []
        for each in result.devices.results if result is not None and result.devices is not None else ():
            if each.admin_access:
                continue
            device = (each.driver, each.pool, each.device)
            changed.append(device)
            if each.share_id is not None:
                shares = self._shares.setdefault(device, Counter())
                for name, amount in each.consumed_capacity.items():
                    shares[name] += sign * amount.milli
            owners = self._owners if each.share_id is None else self._sharers
            owners[device] += sign
            if not owners[device]:
                del owners[device]
                if owners is self._sharers:
                    del self._shares[device]
        return changed
