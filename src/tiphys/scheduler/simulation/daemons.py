"""DaemonSets: on which nodes their pods belong, and the pods."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
from msgspec.structs import replace

from tiphys.api.types import core_v1
from tiphys.api.types.apps_v1 import DaemonSet
from tiphys.api.types.core_v1 import (
    Affinity,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    Pod,
    PodSpec,
    Toleration,
)
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.client.ownership import controller_ref
from tiphys.scheduler.arrays import ALL
from tiphys.scheduler.plugins.node_affinity import NodeAffinity
from tiphys.scheduler.plugins.taint_toleration import TaintToleration
from tiphys.scheduler.simulation.admitted import admitted
from tiphys.scheduler.simulation.outcome import Cause
from tiphys.scheduler.simulation.workloads import create
from tiphys.scheduler.simulation.world import World

_PREFIX: Final = "node.kubernetes.io/"
_TOLERATED: Final = (
    ("not-ready", "NoExecute"),
    ("unreachable", "NoExecute"),
    ("disk-pressure", "NoSchedule"),
    ("memory-pressure", "NoSchedule"),
    ("pid-pressure", "NoSchedule"),
    ("unschedulable", "NoSchedule"),
)
_TOLERATED_BY_HOST_NETWORK: Final = (("network-unavailable", "NoSchedule"),)


def create_daemon_pods(world: World, daemon_set: DaemonSet, nodes: Iterable[str], cause: Cause) -> None:
    """The set's pods for those of the nodes that should have one."""
    model = _model(world, daemon_set)
    wanted = _eligible(world, model)
    for name in nodes:
        if name in wanted:
            meta = replace(model.metadata, name=f"{daemon_set.metadata.name}-{name}", uid=world.uid())
            spec = replace(model.spec, affinity=_pinned(model.spec.affinity, name))
            create(world, replace(model, metadata=meta, spec=spec), cause)


def _model(world: World, daemon_set: DaemonSet) -> Pod:
    template = daemon_set.spec.template
    meta = ObjectMeta(
        namespace=daemon_set.metadata.namespace,
        labels=dict(template.metadata.labels),
        annotations=dict(template.metadata.annotations),
        owner_references=(controller_ref(daemon_set),),
    )
    spec = replace(template.spec, tolerations=(*template.spec.tolerations, *_tolerations(template.spec)))
    pod: Pod = admitted(world, Pod(metadata=meta, spec=spec))
    return pod


def _tolerations(spec: PodSpec) -> Iterator[Toleration]:
    for name, effect in (*_TOLERATED, *(_TOLERATED_BY_HOST_NETWORK if spec.host_network else ())):
        yield Toleration(key=_PREFIX + name, operator="Exists", effect=effect)


def _eligible(world: World, model: Pod) -> frozenset[str]:
    """The nodes the controller would pick: by selector, affinity and taints, whatever room there is."""
    template, nodes = world.snapshot.info(model).template, world.cluster.nodes
    fits = nodes.active.copy()
    for plugin in (NodeAffinity(), TaintToleration()):
        if (node_filter := plugin.filter(template, world.cluster)) is not None:
            fits &= node_filter.passes(ALL)
    return frozenset(nodes.names[row] for row in np.flatnonzero(fits))


def _pinned(affinity: Affinity | None, node_name: str) -> Affinity:
    field = NodeSelectorRequirement(key="metadata.name", operator="In", values=(node_name,))
    only = NodeSelector(node_selector_terms=(NodeSelectorTerm(match_fields=(field,)),))
    affinity = affinity or Affinity()
    before = affinity.node_affinity or core_v1.NodeAffinity()
    return replace(affinity, node_affinity=replace(before, required_during_scheduling_ignored_during_execution=only))
