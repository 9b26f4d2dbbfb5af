"""What a pod's claims ask for, and what of it these nodes have."""

from __future__ import annotations

from collections.abc import Iterator

from tiphys.scheduler.arrays import Ints
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.devices.inventory import DeviceId, Offer
from tiphys.scheduler.devices.requests import ClaimProblem, Wanted, resolve
from tiphys.scheduler.devices.state import DeviceState
from tiphys.scheduler.explaining.explanation import counted
from tiphys.scheduler.template import Template

MAXIMUM_CLAIMS = 3


def device_detail(rows: Ints, template: Template, cluster: Cluster, state: DeviceState) -> str:
    """For each claim without devices its requests, and how many devices of the kind these nodes have, and free."""
    names = {cluster.nodes.names[row] for row in rows}
    offers = [offer for pool in state.inventory.pools() for offer in pool.offers if _is_on(offer, names)]
    taken = set(_taken(state))
    said = []
    facts = template.facts.get("DynamicResources")
    for _, key in facts if isinstance(facts, list) else ():
        claim = state.claims.get(tuple(key)) if key is not None else None
        if claim is None or state.allocation_of(claim) is not None:
            continue
        try:
            requests = resolve(claim, state.classes).requests
            said += [_said(claim.metadata.name or "", ways[0], offers, taken) for ways in requests if ways]
        except ClaimProblem as problem:
            said.append(str(problem))
    return "; ".join(said[:MAXIMUM_CLAIMS])


def _said(claim: str, wanted: Wanted, offers: list[Offer], taken: set[DeviceId]) -> str:
    fitting = [offer for offer in offers if wanted.matches(offer)]
    free = sum(offer.id not in taken for offer in fitting)
    number = wanted.number or "all"
    have = counted(len(fitting), "device") if fitting else "none such"
    left = f", and {free} {'is' if free == 1 else 'are'} free" if fitting else ""
    return f"claim {claim} asks for {number} of class {wanted.class_name}; these nodes have {have}{left}"


def _is_on(offer: Offer, names: set[str]) -> bool:
    return offer.reach.node_name in names or (not offer.reach.node_name and offer.reach.selector is None)


def _taken(state: DeviceState) -> Iterator[DeviceId]:
    for claim in state.claims.values():
        result = state.allocation_of(claim)
        for device in result.devices.results if result is not None and result.devices is not None else ():
            if not device.admin_access:
                yield device.driver, device.pool, device.device
