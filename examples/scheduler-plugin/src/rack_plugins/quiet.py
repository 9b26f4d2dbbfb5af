"""QuietNodes: pods that need quiet stay away from noisy nodes, and prefer the quietest. Asked node by node."""

from __future__ import annotations

from tiphys.scheduler.node_plugin import NodePlugin, NodeView
from tiphys.scheduler.template import Template


class QuietNodes(NodePlugin):
    """For pods with the label ``example.com/quiet=true``; nodes say their ``example.com/decibels``."""

    name = "QuietNodes"
    only_the_node = True

    def fits(self, pod: Template, node: NodeView) -> str:
        if pod.labels.get("example.com/quiet") != "true" or decibels(node) <= 60:
            return ""
        return "node(s) were too noisy"

    def rate(self, pod: Template, node: NodeView) -> float:
        return -decibels(node) if pod.labels.get("example.com/quiet") == "true" else 0


def decibels(node: NodeView) -> int:
    return int(node.labels.get("example.com/decibels", "0"))
