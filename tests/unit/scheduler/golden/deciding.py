"""A cluster in a few words, and where the default scheduler puts a pod."""

from __future__ import annotations

import random
from typing import Any

from tiphys.api import codec
from tiphys.api.types.core_v1 import Node, Pod
from tiphys.scheduler.algorithm import Algorithm, Placed, Unplaceable
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.profiles import Profile, default_profile
from tiphys.scheduler.template import PodInfo, Templates

Object = dict[str, Any]


class Deciding:
    """Nodes and pods as manifests; decisions by a profile."""

    def __init__(self, profile: Profile | None = None) -> None:
        self.cluster, self.templates = Cluster(), Templates()
        self.algorithm = Algorithm(self.cluster, profile or default_profile(), random.Random(0))

    def node(self, name: str, labels: Object | None = None, taints: list[Object] | None = None, **room: str) -> None:
        amounts = {"cpu": "8", "memory": "16Gi", "pods": "110"} | {k.replace("__", "/"): v for k, v in room.items()}
        body = {
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}},
            "spec": {"taints": taints or []},
            "status": {"allocatable": amounts, "capacity": amounts},
        }
        self.cluster.add_node(codec.from_dict(Node, body))

    def info(self, name: str, labels: Object | None = None, requests: Object | None = None, **spec: Any) -> PodInfo:
        container = {"name": "c", "image": "registry.k8s.io/pause:3.1", "resources": {"requests": requests or {}}}
        meta = {"name": name, "namespace": spec.pop("namespace", "default"), "labels": labels or {}}
        body = {"metadata": meta, "spec": {"containers": [container], **spec}}
        pod = codec.from_dict(Pod, body)
        return PodInfo(pod, self.templates.of(pod))

    def place(self, node: str, name: str, *arguments: Any, **spec: Any) -> PodInfo:
        """A pod that runs there already."""
        info = self.info(name, *arguments, **spec)
        self.cluster.place(info, node)
        return info

    def goes_to(self, *arguments: Any, times: int = 40, **spec: Any) -> set[str]:
        """Where such a pod may go: every node that a tie may choose. Empty: it stays pending."""
        info = self.info("incoming", *arguments, **spec)
        found = set()
        for _ in range(times):
            decision = self.algorithm.decide(info, list)
            if isinstance(decision, Placed):
                found.add(decision.node_name)
        return found

    def fits(self, *arguments: Any, **spec: Any) -> set[str]:
        """On which nodes such a pod could be, best or not."""
        info = self.info("incoming", *arguments, **spec)
        feasible = self.algorithm.evaluations.of(info.template).feasible()
        return {name for name, row in self.cluster.nodes.rows.items() if feasible[row]}

    def refusal(self, *arguments: Any, **spec: Any) -> Unplaceable:
        decision = self.algorithm.decide(self.info("incoming", *arguments, **spec), list)
        assert isinstance(decision, Unplaceable), decision
        return decision
