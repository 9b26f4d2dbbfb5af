"""How much of a device's capacities a request takes: all of a device of its own, its part of one that is shared.

Source: Kubernetes documentation, "Consumable capacity"; KEP-5075.
"""

from __future__ import annotations

from collections.abc import Mapping

from tiphys.api.quantity import Quantity
from tiphys.api.types.resource_v1 import CapacityRequestPolicy, CapacityRequestPolicyRange, Device, DeviceCapacity


def taken(driver: str, device: Device, requests: Mapping[str, Quantity]) -> dict[str, Quantity] | None:
    """By the name that the device gives it; None if there is no such capacity, or it is not to be had so."""
    known = {_full(name, driver): (name, capacity) for name, capacity in sorted(device.capacity.items())}
    asked = {_full(name, driver): amount for name, amount in requests.items()}
    if not asked.keys() <= known.keys():
        return None
    amounts: dict[str, Quantity] = {}
    for full, (name, capacity) in known.items():
        amount = _amount(asked.get(full), capacity)
        if amount.milli > capacity.value.milli or not _is_valid(amount, capacity.request_policy):
            return None
        amounts[name] = amount
    return amounts


def _full(name: str, driver: str) -> str:
    return name if "/" in name else f"{driver}/{name}"


def _amount(asked: Quantity | None, capacity: DeviceCapacity) -> Quantity:
    """What is asked for, rounded up to what the policy knows; without a wish the default, or everything."""
    policy = capacity.request_policy
    if asked is None:
        return policy.default if policy is not None and policy.default is not None else capacity.value
    if policy is not None and policy.valid_range is not None:
        return _in_steps(asked, policy.valid_range)
    if policy is not None and policy.valid_values:
        fitting = [value for value in policy.valid_values if value.milli >= asked.milli]
        return min(fitting, key=lambda value: value.milli, default=asked)
    return asked


def _in_steps(asked: Quantity, within: CapacityRequestPolicyRange) -> Quantity:
    least = within.min
    if asked.milli <= least.milli:
        return least
    if within.step is None or not within.step.milli:
        return asked
    steps = -(-(asked.milli - least.milli) // within.step.milli)
    milli = least.milli + steps * within.step.milli
    if milli == asked.milli:
        return asked
    # As the least is written: in Ki, Mi … or in k, M …
    if least.endswith("i") and milli % 1024_000 == 0:
        return Quantity(f"{milli // 1024_000}Ki")
    return Quantity.of_milli(milli)


def _is_valid(amount: Quantity, policy: CapacityRequestPolicy | None) -> bool:
    if policy is None or (policy.default is not None and amount.milli == policy.default.milli):
        return True
    if policy.valid_range is not None:
        return policy.valid_range.max is None or amount.milli <= policy.valid_range.max.milli
    return not policy.valid_values or any(amount.milli == value.milli for value in policy.valid_values)
