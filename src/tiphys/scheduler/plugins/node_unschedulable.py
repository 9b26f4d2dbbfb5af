"""NodeUnschedulable: cordoned nodes take only pods that tolerate the taint node.kubernetes.io/unschedulable."""

from __future__ import annotations

from tiphys.api.types.core_v1 import Node
from tiphys.scheduler.arrays import Bools, Rows
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.framework import Event, NodeFilter, Plugin, Trigger
from tiphys.scheduler.template import Template
from tiphys.scheduler.tolerations import NO_SCHEDULE, untolerated

TAINT = ("node.kubernetes.io/unschedulable", "", NO_SCHEDULE)


class NodeUnschedulable(Plugin):
    name = "NodeUnschedulable"
    of_shape = True
    helped_by = Trigger.NODE_ADDED | Trigger.NODE_CHANGED

    def filter(self, template: Template, cluster: Cluster) -> NodeFilter | None:
        if not cluster.nodes.unschedulable.any() or not untolerated((TAINT,), template.tolerations, (NO_SCHEDULE,)):
            return None
        return _Filter(~cluster.nodes.unschedulable)

    def may_help(self, template: Template, event: Event) -> bool:
        return isinstance(event.new, Node) and not event.new.spec.unschedulable


class _Filter(NodeFilter):
    reason = "node(s) were unschedulable"

    def __init__(self, schedulable: Bools) -> None:
        self._schedulable = schedulable

    def passes(self, rows: Rows) -> Bools:
        return self._schedulable[rows]
