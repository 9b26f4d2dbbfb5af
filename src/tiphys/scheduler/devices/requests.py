"""What claims ask for, with their classes looked up and their expressions compiled."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from tiphys.api.quantity import Quantity
from tiphys.api.resource_claims import tolerates
from tiphys.api.types.resource_v1 import (
    DeviceClass,
    DeviceConstraint,
    DeviceSelector,
    DeviceSubRequest,
    DeviceToleration,
    ExactDeviceRequest,
    ResourceClaim,
)
from tiphys.scheduler.devices.capacity import taken
from tiphys.scheduler.devices.inventory import Offer

if TYPE_CHECKING:
    from tiphys.api.cel import Program

ALL: Final = "All"
_DOMAIN: Final = re.compile(r"""\[\s*["']([^"']+)["']\s*\]""")
_HINDERING: Final = frozenset(("NoSchedule", "NoExecute"))


class ClaimProblem(Exception):
    """Why a claim gets nothing on any node; the text is shown to users."""


class Wanted(NamedTuple):
    """One way to satisfy a request."""

    name: str
    """``request``, or ``request/subrequest``."""
    class_name: str
    selectors: tuple[str, ...]
    """The class's expressions, then its own: all must hold."""
    number: int
    """How many devices; 0: all that match."""
    admin_access: bool
    tolerations: tuple[DeviceToleration, ...]
    capacity: Mapping[str, Quantity]

    @property
    def short_name(self) -> str:
        """As the request, or the subrequest in its request, is called."""
        return self.name.rpartition("/")[2]

    def matches(self, offer: Offer) -> bool:
        """Whether the device is of the kind that is asked for, free or not. Raises ClaimProblem."""
        return all(_holds(expression, offer) for expression in self.selectors) and self.takes(offer) is not None

    def takes(self, offer: Offer) -> dict[str, Quantity] | None:
        """How much of each of the device's capacities; None if it does not have what is asked for."""
        return taken(offer.id[0], offer.device, self.capacity)

    def tolerates(self, offer: Offer) -> bool:
        """Whether the device's taints do not matter."""
        return all(
            taint.effect not in _HINDERING or any(tolerates(toleration, taint) for toleration in self.tolerations)
            for taint in offer.device.taints
        )


def concerns(requests: Collection[str], name: str) -> bool:
    """Whether a list of requests (empty: all) has that one; a request stands for all its subrequests."""
    return not requests or name in requests or name.partition("/")[0] in requests


class Asked(NamedTuple):
    """A claim that has no devices yet: `requests`, each with its ways in order of preference."""

    claim: ResourceClaim
    requests: tuple[tuple[Wanted, ...], ...]
    constraints: tuple[DeviceConstraint, ...]


def resolve(claim: ResourceClaim, classes: Mapping[str, DeviceClass]) -> Asked:
    """Raises ClaimProblem for classes that do not exist and expressions that cannot be used."""
    devices = claim.spec.devices
    if devices is None:
        return Asked(claim, (), ())
    requests: list[tuple[Wanted, ...]] = []
    for request in devices.requests:
        if request.exactly is not None:
            requests.append((_wanted(request.name, request.exactly, classes),))
        else:
            ways = request.first_available
            requests.append(tuple(_wanted(f"{request.name}/{way.name}", way, classes) for way in ways))
    return Asked(claim, tuple(requests), devices.constraints)


def _wanted(name: str, request: ExactDeviceRequest | DeviceSubRequest, classes: Mapping[str, DeviceClass]) -> Wanted:
    found = classes.get(request.device_class_name)
    if found is None:
        raise ClaimProblem(f"request {name}: device class {request.device_class_name} does not exist")
    return Wanted(
        name,
        request.device_class_name,
        (*_expressions(found.spec.selectors), *_expressions(request.selectors)),
        0 if request.allocation_mode == ALL else request.count or 1,
        isinstance(request, ExactDeviceRequest) and bool(request.admin_access),
        request.tolerations,
        request.capacity.requests if request.capacity is not None else {},
    )


def _expressions(selectors: Sequence[DeviceSelector]) -> list[str]:
    return [selector.cel.expression for selector in selectors if selector.cel is not None]


@lru_cache(maxsize=1_000)
def _compiled(expression: str) -> Program:
    # Here, for CEL is 24 MB, and most clusters have no devices.
    from tiphys.api.cel import CompileError
    from tiphys.api.cel.admission import devices as device_environment

    try:
        return device_environment().compile(expression)
    except CompileError as error:
        raise ClaimProblem(f"CEL compile error: {expression}: {error}") from error


def _holds(expression: str, offer: Offer) -> bool:
    known = offer.answers.get(expression)
    if known is None:
        from tiphys.api.cel import EvaluationError

        view = offer.view
        # A domain that the device has nothing of is an empty map, not an error.
        missing = [domain for domain in _DOMAIN.findall(expression) if domain not in view["attributes"]]
        if missing:
            empty: dict[str, object] = {domain: {} for domain in missing}
            view = {
                **view,
                "attributes": {**empty, **view["attributes"]},
                "capacity": {**empty, **view["capacity"]},
            }
        try:
            known = _compiled(expression).evaluate({"device": view}) is True
        except EvaluationError as error:
            raise ClaimProblem(f"CEL runtime error: {expression}: {error}") from error
        offer.answers[expression] = known
    return known
