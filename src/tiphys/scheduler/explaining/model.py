"""The cluster to try things on: what every plugin says of every node, now and after a change that is taken back.

judge(pod) ──► Judgement            fitting(pod, changes): change ──► judge ──► take back
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import numpy as np

from tiphys.api.types.core_v1 import Node, Pod
from tiphys.scheduler.arrays import ALL, Bools
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.devices.state import DeviceState
from tiphys.scheduler.explaining.changing import Changes
from tiphys.scheduler.explaining.explanation import Change
from tiphys.scheduler.explaining.judging import Judgement
from tiphys.scheduler.plugins.dynamic_resources import DynamicResources
from tiphys.scheduler.profiles import Profile
from tiphys.scheduler.template import Template


class Model:
    """A cluster and the plugins of a profile. Used by one at a time; leaves the cluster as it was."""

    def __init__(self, cluster: Cluster, profile: Profile, template_of: Callable[[Pod], Template]) -> None:
        self.cluster = cluster
        self.profile = profile
        self.plugins = profile.filters
        self.template_of = template_of
        #: The devices and the claims on them; None if the profile knows none.
        self.devices: DeviceState | None = next(
            (plugin.state for plugin in profile.plugins if isinstance(plugin, DynamicResources)), None
        )
        #: How often the filters were run; the search has a bound on it.
        self.judged = 0
        self._changes = Changes(cluster, self.devices, template_of)

    def judge(self, pod: Pod) -> Judgement:
        self.judged += 1
        return Judgement(self.template_of(pod), self.cluster, self.plugins)

    def judge_by(self, pod: Pod, plugin_name: str) -> Bools:
        """Which rows one plugin accepts; inactive rows mean nothing."""
        template = self.template_of(pod)
        self.cluster.vector(template)
        for plugin in self.plugins:
            if plugin.name == plugin_name and (node_filter := plugin.filter(template, self.cluster)) is not None:
                if node_filter.pod_reason:
                    return np.zeros(self.cluster.nodes.size, np.bool_)
                return node_filter.passes(ALL)
        return np.ones(self.cluster.nodes.size, np.bool_)

    def fitting(self, pod: Pod, changes: Sequence[Change]) -> tuple[str, ...]:
        """The names of the nodes that would take the pod after all `changes`."""
        with self.changed(pod, changes) as changed:
            names = self.cluster.nodes.names
            return tuple(names[row] for row in self.judge(changed).rows)

    @contextmanager
    def changed(self, pod: Pod, changes: Sequence[Change]) -> Iterator[Pod]:
        """The pod after `changes`, while the cluster has them too."""
        with ExitStack() as undo:
            for change in changes:
                pod = self._changes.make(pod, change, undo)
            yield pod

    def node(self, row: int) -> Node:
        node = self.cluster.nodes.nodes[row]
        assert node is not None
        return node
