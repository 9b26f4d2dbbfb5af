"""What a search found, as it is written into a claim's status."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from tiphys.api.types.core_v1 import NodeSelector, NodeSelectorRequirement, NodeSelectorTerm
from tiphys.api.types.resource_v1 import (
    AllocationResult,
    DeviceAllocationConfiguration,
    DeviceAllocationResult,
    DeviceClass,
    DeviceRequestAllocationResult,
)
from tiphys.scheduler.devices.inventory import Offer
from tiphys.scheduler.devices.requests import Wanted, concerns
from tiphys.scheduler.devices.search import Grant


def allocation(
    grant: Grant, node_name: str, classes: Mapping[str, DeviceClass], now: str, new_id: Callable[[], str]
) -> AllocationResult:
    """The claim's devices with their configuration, and where they can be used.

    `now`: RFC 3339; `new_id` names the shares of devices.
    """
    results = tuple(_result(wanted, offer, new_id) for wanted, offer in grant.chosen)
    devices = DeviceAllocationResult(results=results, config=tuple(_configured(grant, classes)))
    return AllocationResult(devices=devices, node_selector=_reach(grant, node_name), allocation_timestamp=now)


def _result(wanted: Wanted, offer: Offer, new_id: Callable[[], str]) -> DeviceRequestAllocationResult:
    driver, pool, device = offer.id
    is_share = offer.is_shared and not wanted.admin_access
    return DeviceRequestAllocationResult(
        request=wanted.name,
        driver=driver,
        pool=pool,
        device=device,
        admin_access=True if wanted.admin_access else None,
        tolerations=wanted.tolerations,
        binding_conditions=offer.device.binding_conditions,
        binding_failure_conditions=offer.device.binding_failure_conditions,
        share_id=new_id() if is_share else None,
        consumed_capacity=(wanted.takes(offer) or {}) if is_share else {},
    )


def _configured(grant: Grant, classes: Mapping[str, DeviceClass]) -> Iterable[DeviceAllocationConfiguration]:
    ways = list({wanted.name: wanted for wanted, _ in grant.chosen}.values())
    everything = len(grant.asked.requests)
    of_class: dict[str, list[Wanted]] = {}
    for way in ways:
        of_class.setdefault(way.class_name, []).append(way)
    for name, of_it in of_class.items():
        requests = _unless_all(tuple(way.name for way in of_it), everything)
        for given in classes[name].spec.config if name in classes else ():
            yield DeviceAllocationConfiguration(source="FromClass", requests=requests, opaque=given.opaque)
    devices = grant.asked.claim.spec.devices
    for config in devices.config if devices is not None else ():
        if any(concerns(config.requests, wanted.name) for wanted in ways):
            requests = _unless_all(config.requests, everything)
            yield DeviceAllocationConfiguration(source="FromClaim", requests=requests, opaque=config.opaque)


def _unless_all(requests: tuple[str, ...], everything: int) -> tuple[str, ...]:
    """No requests stand for all."""
    return () if len(requests) == everything else requests


def _reach(grant: Grant, node_name: str) -> NodeSelector | None:
    """On which nodes these devices can be used together; None: on all."""
    if any(offer.reach.node_name or offer.device.binds_to_node for _, offer in grant.chosen):
        field = NodeSelectorRequirement(key="metadata.name", operator="In", values=(node_name,))
        return NodeSelector(node_selector_terms=(NodeSelectorTerm(match_fields=(field,)),))
    expressions: dict[str, NodeSelectorRequirement] = {}
    fields: dict[str, NodeSelectorRequirement] = {}
    for _, offer in grant.chosen:
        for term in offer.reach.selector.node_selector_terms if offer.reach.selector is not None else ():
            expressions |= {_said(each): each for each in term.match_expressions}
            fields |= {_said(each): each for each in term.match_fields}
    if not expressions and not fields:
        return None
    term = NodeSelectorTerm(match_expressions=tuple(expressions.values()), match_fields=tuple(fields.values()))
    return NodeSelector(node_selector_terms=(term,))


def _said(requirement: NodeSelectorRequirement) -> str:
    return repr((requirement.key, requirement.operator, sorted(requirement.values)))
