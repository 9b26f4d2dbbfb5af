"""Which devices are given away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tiphys.api.types.resource_v1 import AllocationResult
from tiphys.scheduler.devices.inventory import DeviceId


class Usage:
    """What claims have, and what they are about to get. Access for administrators takes nothing from others."""

    def __init__(self) -> None:
        self._owners: Counter[DeviceId] = Counter()

    @classmethod
    def of(cls, devices: Iterable[DeviceId]) -> Usage:
        """One in which these are taken as a whole."""
        usage = cls()
        usage._owners.update(devices)
        return usage

    def __contains__(self, device: DeviceId) -> bool:
        """Whether somebody has the device."""
        return device in self._owners

    def count(self, result: AllocationResult | None, sign: int) -> list[DeviceId]:
        """An allocation came (1) or went (-1); returns the devices that it takes from others."""
        changed: list[DeviceId] = []
        for each in result.devices.results if result is not None and result.devices is not None else ():
            if each.admin_access:
                continue
            device = (each.driver, each.pool, each.device)
            changed.append(device)
            self._owners[device] += sign
            if not self._owners[device]:
                del self._owners[device]
        return changed
