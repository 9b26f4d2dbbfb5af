"""A PodGroup's minResources: while the cluster has less than that free, its gang is not tried. Pure.

As the community's coscheduling plugin understands it: free in sum over all nodes, those of its own pods that have one
counted as free, and so no promise that the gang fits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tiphys.api.quantity import Quantity
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.explaining.amounts import text
from tiphys.scheduler.requests import Amounts, amounts
from tiphys.scheduler.template import PodInfo


def read_minimum(value: Any) -> tuple[tuple[str, int], ...]:
    """The amounts of a minResources as it is served (cpu in thousandths); what is no quantity counts as not given."""
    quantities: dict[str, Quantity] = {}
    for name, given in value.items() if isinstance(value, dict) else ():
        if isinstance(given, str | int) and not isinstance(given, bool):
            try:
                quantities[name] = Quantity(given)
            except ValueError:
                continue
    return tuple((name, amount) for name, amount in sorted(amounts(quantities).items()) if amount > 0)


def lacking(minimum: Iterable[tuple[str, int]], placed: Iterable[PodInfo], cluster: Cluster) -> Amounts:
    """What of `minimum` is not free; empty if all is. `placed`: the group's pods that have nodes."""
    short = {name: amount - _free(name, cluster) for name, amount in minimum}
    for info in placed if short else ():
        for name in short.keys() & info.template.requests.keys():
            short[name] -= info.template.requests[name]
    return {name: amount for name, amount in short.items() if amount > 0}


def said_of(short: Mapping[str, int]) -> str:
    """Why the gang is not tried, in words."""
    listed = ", ".join(f"{text(name, amount)} of {name}" for name, amount in short.items())
    return f"the cluster's nodes have less free than its minResources, by {listed}"


def _free(resource: str, cluster: Cluster) -> int:
    nodes = cluster.nodes
    column = nodes.resources.get(resource)
    if column is None:
        return 0
    free = nodes.allocatable[:, column] - nodes.requested[:, column]
    return int(np.maximum(free[nodes.active], 0).sum())
