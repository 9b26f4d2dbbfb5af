"""Plugins that are asked about one pod and one node at a time, for those who want to write a rule and no arithmetic.

    class QuietNodes(NodePlugin):
        name = "QuietNodes"

        def fits(self, pod: Template, node: NodeView) -> str:
            return "node(s) were noisy" if node.labels.get("noisy") == "true" else ""

A node is asked about once for a kind of pod, and again when the node changed or a pod came to or left it. That is some
hundred times slower than arrays (a microsecond a node and a kind of pod) and fast enough for most clusters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, Generic, TypeVar
from weakref import WeakKeyDictionary

import numpy as np

from tiphys.api.types.core_v1 import Node, Taint
from tiphys.base.logging import get_logger
from tiphys.scheduler.arrays import Bools, Ints, Rows
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.framework import NodeFilter, NodeScore, Plugin, Trigger, default_normalize
from tiphys.scheduler.template import PodInfo, Template

MAXIMUM_RATE = 1_000_000_000
"""Rates are cut to plus and minus this."""
_logger = get_logger(__name__)
T = TypeVar("T")


class NodeView:
    """A node as it is while `fits` or `rate` runs: do not keep it."""

    __slots__ = ("_cluster", "row")

    def __init__(self, cluster: Cluster, row: int) -> None:
        self._cluster = cluster
        self.row = row

    @property
    def name(self) -> str:
        return self._cluster.nodes.names[self.row]

    @property
    def object(self) -> Node:
        """As last observed. A change of its conditions or annotations alone is no reason to ask again."""
        node = self._cluster.nodes.nodes[self.row]
        assert node is not None
        return node

    @property
    def labels(self) -> Mapping[str, str]:
        return self.object.metadata.labels

    @property
    def taints(self) -> tuple[Taint, ...]:
        return self.object.spec.taints

    @property
    def pods(self) -> Iterable[PodInfo]:
        """The pods there, also those that were placed but are not bound yet."""
        return self._cluster.pods_on[self.row].values()

    def allocatable(self, resource: str) -> int:
        """What the node has: cpu in thousandths, everything else in whole units."""
        column = self._cluster.nodes.resources.get(resource)
        return 0 if column is None else int(self._cluster.nodes.allocatable[self.row, column])

    def requested(self, resource: str) -> int:
        """What its pods request, in the same units."""
        column = self._cluster.nodes.resources.get(resource)
        return 0 if column is None else int(self._cluster.nodes.requested[self.row, column])


class NodePlugin(Plugin):
    """Override `fits`, `rate` or both. A node that `fits` raises for is refused, with the error as the reason."""

    helped_by: ClassVar[Trigger] = Trigger.NODE_ADDED | Trigger.NODE_CHANGED | Trigger.POD_GONE
    resolvable: ClassVar[bool] = False
    """Whether a node that does not fit may fit once pods are removed from it: preemption is worth a try."""
    only_the_node: ClassVar[bool] = False
    """Whether the answers depend on the pod and the Node object alone, not on the pods there: asked less often."""

    def fits(self, pod: Template, node: NodeView) -> str:
        """Empty if the node can take such pods; else why not, worded as upstream does: ``node(s) were noisy``."""
        return ""

    def rate(self, pod: Template, node: NodeView) -> float:
        """How good the node is for such pods, in whatever scale: the best of those that fit gets 100 points."""
        return 0

    def filter(self, template: Template, cluster: Cluster) -> NodeFilter | None:
        if type(self).fits is NodePlugin.fits:
            return None
        return _Filter(_Asking(self, template, cluster, self.fits, f'plugin "{self.name}" failed: {{}}'.format))

    def score(self, template: Template, cluster: Cluster) -> NodeScore | None:
        if type(self).rate is NodePlugin.rate:
            return None
        return _Score(_Asking(self, template, cluster, self.rate, lambda _: 0.0))


class _Asking(Generic[T]):
    """Asks for rows; what was answered about a Node object is remembered if it depends on nothing else."""

    def __init__(
        self,
        plugin: NodePlugin,
        template: Template,
        cluster: Cluster,
        ask: Callable[[Template, NodeView], T],
        failed: Callable[[str], T],
    ) -> None:
        self.plugin = plugin
        self.cluster = cluster
        self._template = template
        self._ask = ask
        self._failed = failed
        known = _remembered.setdefault(plugin, WeakKeyDictionary()).setdefault(template, {})
        #: By the answer's kind and the row: what was asked about, and the answer.
        self._known: dict[tuple[str, int], tuple[Node, Any]] | None = known if plugin.only_the_node else None

    def __call__(self, rows: Rows) -> Iterator[tuple[int, int, T]]:
        """(index in `rows`, row, answer) of those that are in use."""
        nodes = self.cluster.nodes
        chosen = np.arange(nodes.size)[rows]
        for index in np.flatnonzero(nodes.active[rows]).tolist():
            row = int(chosen[index])
            yield index, row, self._answer(row)

    def _answer(self, row: int) -> T:
        view = NodeView(self.cluster, row)
        if self._known is None:
            return self._asked(view)
        key, node = (self._ask.__name__, row), view.object
        found = self._known.get(key)
        if found is None or found[0] is not node:
            found = self._known[key] = (node, self._asked(view))
        answer: T = found[1]
        return answer

    def _asked(self, view: NodeView) -> T:
        try:
            return self._ask(self._template, view)
        except Exception as error:
            if note_failure(self.plugin.name, error):
                _logger.exception("a plugin failed", plugin=self.plugin.name, node=view.name)
            return self._failed(repr(error))


class _Filter(NodeFilter):
    def __init__(self, asking: _Asking[str]) -> None:
        self._asking = asking
        self._reasons: dict[int, str] = {}

    def passes(self, rows: Rows) -> Bools:
        passes = np.ones(len(self._asking.cluster.nodes.active[rows]), np.bool_)
        for index, row, reason in self._asking(rows):
            if reason:
                passes[index] = False
                self._reasons[row] = str(reason)
            else:
                self._reasons.pop(row, None)
        return passes

    def reasons(self, rows: Ints) -> Iterator[tuple[str, Bools]]:
        said = [self._reasons.get(row, "") for row in rows.tolist()]
        for reason in dict.fromkeys(said):
            yield reason, np.array([one == reason for one in said], np.bool_)

    def unresolvable(self, rows: Ints) -> Bools:
        return np.full(len(rows), not self._asking.plugin.resolvable)


class _Score(NodeScore):
    normalized = True

    def __init__(self, asking: _Asking[float]) -> None:
        self._asking = asking

    def score(self, rows: Rows) -> Ints:
        scores = np.zeros(len(self._asking.cluster.nodes.active[rows]), np.int64)
        for index, _, rate in self._asking(rows):
            # Fractions count, to a thousandth.
            scores[index] = round(min(max(rate, -MAXIMUM_RATE), MAXIMUM_RATE) * 1000)
        return scores

    def normalize(self, scores: Ints, feasible: Bools) -> Ints:
        lowest = int(scores.min(where=feasible, initial=0))
        return default_normalize(scores - lowest, feasible, reverse=False)


_remembered: WeakKeyDictionary[NodePlugin, WeakKeyDictionary[Template, dict[tuple[str, int], tuple[Node, Any]]]] = (
    WeakKeyDictionary()
)
_noted: dict[tuple[str, str], None] = {}
_MAXIMUM_NOTED = 1_000


def note_failure(plugin: str, error: Exception) -> bool:
    """Whether that is news, and worth a line in the log: a plugin that always fails would fill it."""
    key = (plugin, repr(error))
    if key in _noted or len(_noted) >= _MAXIMUM_NOTED:
        return False
    _noted[key] = None
    return True
