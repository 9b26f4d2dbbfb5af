"""Plugins whose rules the scheduler itself keeps. They have names so that a configuration can speak of them."""

from __future__ import annotations

from tiphys.scheduler.framework import Plugin
from tiphys.scheduler.template import PodInfo


class PrioritySort(Plugin):
    """QueueSort: higher priority first, then the older pod. The queue does it."""

    name = "PrioritySort"


class NodeName(Plugin):
    """Filter: spec.nodeName. A pod that has one is not scheduled: it is bound already."""

    name = "NodeName"


class DefaultBinder(Plugin):
    """Bind: by the pod's binding subresource. The scheduler does it where the turn comes to this plugin."""

    name = "DefaultBinder"

    async def bind(self, info: PodInfo, node_name: str) -> bool:
        return False
