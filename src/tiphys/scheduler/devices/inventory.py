"""What drivers offer: their ResourceSlices, put together to pools, newest generation only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from tiphys.api.types.core_v1 import NodeSelector
from tiphys.api.types.resource_v1 import Device, DeviceAttribute, ResourceSlice

DeviceId = tuple[str, str, str]
"""(driver, pool, device)."""
CounterId = tuple[str, str, str, str]
"""(driver, pool, counter set, counter)."""


class Reach(NamedTuple):
    """On which nodes a device can be used: on one, on those selected, or (neither) on all."""

    node_name: str
    selector: NodeSelector | None


class Offer:
    """A device of a complete or incomplete pool. Compared by identity; one object as long as its slice is the same."""

    __slots__ = ("_attributes", "_view", "answers", "device", "id", "reach")

    def __init__(self, id: DeviceId, device: Device, reach: Reach) -> None:
        self.id = id
        self.device = device
        self.reach = reach
        self.answers: dict[str, bool] = {}
        """What expressions said of it."""
        self._view: Any = None
        self._attributes: dict[str, Any] | None = None

    @property
    def is_shared(self) -> bool:
        """Whether several claims can have a part of it."""
        return bool(self.device.allow_multiple_allocations)

    @property
    def view(self) -> Any:
        """The device as expressions see it."""
        if self._view is None:
            self._view = _plain(self.id[0], self.device)
        return self._view

    def attribute(self, name: str) -> Any:
        """The value of a fully qualified attribute, None if the device does not have it."""
        if self._attributes is None:
            driver = self.id[0]
            named = self.device.attributes.items()
            self._attributes = {key if "/" in key else f"{driver}/{key}": _value(a) for key, a in named}
        return self._attributes.get(name)


class Pool(NamedTuple):
    """Devices that a driver manages together."""

    driver: str
    name: str
    offers: tuple[Offer, ...]
    counters: Mapping[tuple[str, str], int]
    """What is there to be shared by its devices: by (counter set, counter), in thousandths."""
    is_complete: bool
    """Whether all slices of its newest generation are here; nothing is taken from it before."""
    problem: str
    """Not empty if it says one device twice: then it is not used."""


class Inventory:
    """All pools. `epoch` moves when anything changed."""

    def __init__(self) -> None:
        self.epoch = 0
        self._slices: dict[str, ResourceSlice] = {}
        self._by_pool: dict[tuple[str, str], dict[str, ResourceSlice]] = {}
        self._pools: dict[tuple[str, str], Pool] = {}

    def observe(self, made: ResourceSlice, *, gone: bool = False) -> None:
        """A slice came, changed or went."""
        name = made.metadata.name or ""
        before = self._slices.pop(name, None)
        if before is not None:
            key = _pool_of(before)
            del self._by_pool[key][name]
            self._pools.pop(key, None)
        if not gone:
            key = _pool_of(made)
            self._slices[name] = made
            self._by_pool.setdefault(key, {})[name] = made
            self._pools.pop(key, None)
        self.epoch += 1

    def pools(self) -> Iterator[Pool]:
        """By driver and name."""
        for key in sorted(self._by_pool):
            if self._by_pool[key]:
                if key not in self._pools:
                    self._pools[key] = _pool(key, self._by_pool[key].values())
                yield self._pools[key]


def _pool_of(made: ResourceSlice) -> tuple[str, str]:
    return (made.spec.driver, made.spec.pool.name)


def _pool(key: tuple[str, str], slices: Iterable[ResourceSlice]) -> Pool:
    known = sorted(slices, key=lambda s: s.metadata.name or "")
    newest = max(s.spec.pool.generation for s in known)
    current = [s for s in known if s.spec.pool.generation == newest]
    counters = {
        (shared.name, name): counter.value.milli
        for made in current
        for shared in made.spec.shared_counters
        for name, counter in shared.counters.items()
    }
    offers = tuple(
        Offer((*key, device.name), device, _reach(made, device)) for made in current for device in made.spec.devices
    )
    names = [offer.id[2] for offer in offers]
    twice = next((name for name in names if names.count(name) > 1), "") if len(set(names)) < len(names) else ""
    problem = f"duplicate device name {twice}" if twice else ""
    return Pool(*key, offers, counters, len(current) == current[0].spec.pool.resource_slice_count, problem)


def _reach(made: ResourceSlice, device: Device) -> Reach:
    where = device if made.spec.per_device_node_selection else made.spec
    if where.node_name:
        return Reach(where.node_name, None)
    return Reach("", where.node_selector)


def _plain(driver: str, device: Device) -> dict[str, Any]:
    # Here, for CEL is 24 MB, and most clusters have no devices.
    from tiphys.api.cel.libraries.quantities import quantity

    attributes: dict[str, dict[str, Any]] = {}
    for key, attribute in device.attributes.items():
        domain, name = _split(key, driver)
        attributes.setdefault(domain, {})[name] = (
            _version(attribute.version) if attribute.version is not None else _value(attribute)
        )
    capacity: dict[str, dict[str, Any]] = {}
    for key, amount in device.capacity.items():
        domain, name = _split(key, driver)
        capacity.setdefault(domain, {})[name] = quantity(amount.value)
    return {
        "driver": driver,
        "attributes": attributes,
        "capacity": capacity,
        "allowMultipleAllocations": bool(device.allow_multiple_allocations),
    }


def _version(text: str) -> Any:
    from tiphys.api.cel.libraries.semver import version

    try:
        return version(text)
    except ValueError:
        return text


def _split(key: str, driver: str) -> tuple[str, str]:
    domain, slash, name = key.partition("/")
    return (domain, name) if slash else (driver, key)


def _value(attribute: DeviceAttribute) -> Any:
    single = (attribute.bool_, attribute.int_, attribute.string, attribute.version)
    found = next((value for value in single if value is not None), None)
    if found is not None:
        return found
    return next(
        (value for value in (attribute.bools, attribute.ints, attribute.strings, attribute.versions) if value), None
    )
