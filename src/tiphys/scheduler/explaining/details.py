"""The figures behind a reason: what is asked for, and what these nodes have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from tiphys.api import persistent_volumes as facts
from tiphys.scheduler.arrays import Ints
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.domains import DomainCounts
from tiphys.scheduler.explaining import amounts
from tiphys.scheduler.explaining.explanation import counted, shorten
from tiphys.scheduler.explaining.groups import MAXIMUM_VALUES
from tiphys.scheduler.explaining.judging import Reason
from tiphys.scheduler.nodes import PODS_COLUMN
from tiphys.scheduler.template import Template

INSUFFICIENT: Final = "Insufficient "
MISSING_LABEL: Final = "(missing required label)"


def detail(reason: Reason, rows: Ints, template: Template, cluster: Cluster) -> str:
    """One line about `reason` for these rows; "" if the reason says it all."""
    if reason.subject:
        return shorten(reason.subject)
    known = _DETAILS.get(reason.plugin)
    return shorten(known(reason, rows, template, cluster)) if known is not None else ""


def _resources(reason: Reason, rows: Ints, template: Template, cluster: Cluster) -> str:
    nodes = cluster.nodes
    if not reason.words.startswith(INSUFFICIENT):
        limits = nodes.allocatable[rows, PODS_COLUMN]
        return f"they have the most pods they may have ({_span(int(limits.min()), int(limits.max()))})"
    name = reason.words.removeprefix(INSUFFICIENT)
    column = nodes.resources[name]
    asked = int(cluster.vector(template)[column])
    allocatable = nodes.allocatable[rows, column]
    free = allocatable - nodes.requested[rows, column]
    best = int(free.argmax())
    asks = f"asks for {amounts.readable(name, asked)}" + ("" if amounts.is_bytes(name) else f" {name}")
    if not allocatable.any():
        return f"{asks}, and none of these nodes has any"
    most = amounts.readable(name, max(0, int(free[best])))
    where = nodes.names[rows[best]]
    told = f"{asks}, at most {most} is free" + (f" (on {where})" if len(rows) > 1 else "")
    if int(allocatable.max()) < asked:
        told += f"; even empty they have at most {amounts.readable(name, int(allocatable.max()))}"
    return told


def _affinity(reason: Reason, rows: Ints, template: Template, cluster: Cluster) -> str:
    if "scheduler-enforced" in reason.words:
        return "the scheduler's configuration (addedAffinity) leaves these out for all its pods"
    said: list[str] = []
    for key, value in template.node_selector.items():
        labels = cluster.nodes.labels(key)
        wrong = labels.table_of((value,), accept=False)[labels.column[rows]]
        if wrong.any():
            said.append(f"nodeSelector {key}={value}: {_have(key, rows[wrong], cluster)}")
    if template.node_affinity is not None:
        keys = {e.key for term in template.node_affinity.node_selector_terms for e in term.match_expressions}
        said += [f"affinity asks about {key}: {_have(key, rows, cluster)}" for key in sorted(keys)[:2]]
        named = [e for term in template.node_affinity.node_selector_terms for e in term.match_fields]
        if named and not said:
            said.append(f"it is for {', '.join(named[0].values[:MAXIMUM_VALUES])} only")
    return "; ".join(said[:3])


def _have(key: str, rows: Ints, cluster: Cluster) -> str:
    """``30 have hdd, 12 do not have it``."""
    labels = cluster.nodes.labels(key)
    numbers, counts = np.unique(labels.column[rows], return_counts=True)
    by_count = sorted(zip(counts.tolist(), numbers.tolist(), strict=True), reverse=True)
    with_value = [(count, labels.values[number]) for count, number in by_count if number >= 0]
    told = [f"{count} have {value}" for count, value in with_value[:MAXIMUM_VALUES]]
    if len(with_value) > MAXIMUM_VALUES:
        told.append(f"{sum(count for count, _ in with_value[MAXIMUM_VALUES:])} have others")
    absent = sum(count for count, number in by_count if number < 0)
    if absent:
        told.append(f"{absent} do not have the label")
    return ", ".join(told)


def _spread(reason: Reason, rows: Ints, template: Template, cluster: Cluster) -> str:
    hard = [constraint for constraint in template.spread if constraint.hard]
    if reason.words.endswith(MISSING_LABEL):
        keys = [c.topology_key for c in hard if (cluster.nodes.labels(c.topology_key).column[rows] < 0).any()]
        return f"without the label {', '.join(keys)}"
    said = []
    for constraint in hard[:2]:
        counts = DomainCounts(cluster, constraint.topology_key, constraint.matches, terminating=False)
        present = np.unique(counts.ids[counts.within & cluster.nodes.active])
        values = cluster.nodes.labels(constraint.topology_key).values
        fewest = sorted((int(counts.counts[number]), values[number]) for number in present)
        told = ", ".join(f"{name}: {count}" for count, name in fewest[:MAXIMUM_VALUES])
        more = f" … {fewest[-1][1]}: {fewest[-1][0]}" if len(fewest) > MAXIMUM_VALUES else ""
        said.append(
            f"maxSkew {constraint.max_skew} over {constraint.topology_key}; matching pods by domain: {told}{more}"
        )
    return "; ".join(said)


def _pods(reason: Reason, rows: Ints, template: Template, cluster: Cluster) -> str:
    if "existing pods" in reason.words:
        return "pods that are there do not want such a pod in their domain"
    terms = template.anti_affinity if "anti-affinity" in reason.words else template.affinity
    keys = sorted({term.topology_key for term in terms})
    if "anti-affinity" in reason.words:
        return f"a pod it wants to be apart from is in the same {', '.join(keys)}"
    namespaces = cluster.namespaces
    wanted = [t for t in cluster.placed if all(term.matches(t, namespaces) for term in template.affinity)]
    if not wanted:
        return f"no pod anywhere is what it wants to be near to ({', '.join(keys)})"
    where = sorted(cluster.nodes.names[row] for other in wanted for row, _ in other.placed())
    number = sum(cluster.placed[other] for other in wanted)
    are = "is" if number == 1 else "are"
    what = f"{counted(number, 'pod')} {are} what it wants to be near to ({', '.join(keys)})"
    return f"{what}, but elsewhere, as on {where[0]}"


def _ports(reason: Reason, rows: Ints, template: Template, cluster: Cluster) -> str:
    wanted = ", ".join(sorted(f"{port}/{protocol}" for _, protocol, port in template.host_ports))
    return f"wants host port {wanted}, which a pod there has"


def _volumes(reason: Reason, rows: Ints, template: Template, cluster: Cluster) -> str:
    table = cluster.volumes
    said = []
    for use in template.claims:
        claim = table.claims.get((template.namespace, use.name))
        if claim is None:
            continue
        volume = table.volumes.get(claim.spec.volume_name or "")
        if volume is None:
            name = claim.spec.volume_name or facts.class_of_claim(claim)
            said.append(f"claim {use.name} ({name or 'no StorageClass'}) of {facts.requested(claim)}")
            continue
        where = cluster.reach(volume)
        if reason.plugin == "VolumeZone":
            labels = volume.metadata.labels
            places = [f"{key}={value}" for key, value in labels.items() if key.endswith(("/zone", "/region"))]
            said.append(f"claim {use.name}: volume {volume.metadata.name} is in {', '.join(places)}")
        elif where is not None and not np.isin(rows, where).all():
            names = ", ".join(cluster.nodes.names[row] for row in where[:MAXIMUM_VALUES])
            there = (
                f"{counted(len(where), 'node')} can reach it ({names})"
                if len(where)
                else "no node there is can reach it"
            )
            said.append(f"claim {use.name}: volume {volume.metadata.name}, and {there}")
    return "; ".join(said[:3])


def _span(lowest: int, highest: int) -> str:
    return str(lowest) if lowest == highest else f"{lowest}-{highest}"


_DETAILS: Final[dict[str, Callable[[Reason, Ints, Template, Cluster], str]]] = {
    "NodeResourcesFit": _resources,
    "NodeAffinity": _affinity,
    "PodTopologySpread": _spread,
    "InterPodAffinity": _pods,
    "NodePorts": _ports,
    "VolumeBinding": _volumes,
    "VolumeZone": _volumes,
}
