"""What a plugin is: upstream's extension points, with Filter and Score answered for many nodes at once, from columns.

    template, cluster ──plugin.filter──► NodeFilter ──passes(rows)──► which of those nodes can take such a pod
                      ──plugin.score───► NodeScore ──score(rows)───► raw scores ──normalize(all)──► 0..100

The objects a plugin returns are prepared for one template and live as long as `Cluster.version` stands still. They hear
of every pod that comes to or leaves a node, and keep what they counted true by that difference, not by counting again.

A pod's way, with the points in their order (those in brackets are asked of a pod only if the plugin has them):

    [pre_enqueue] ─► queue ─► filter, score ─► assumed ─► [reserve] ─► [permit] ─► [pre_bind] ─► [bind] ─► [post_bind]
                                 │ no node                     └── Rejected ──┴────────┴────────────┘
                                 └─► [post_filter]                     └─► [unreserve], and it is tried again
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from enum import Flag, StrEnum, auto
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

import numpy as np

from tiphys.api.types.core_v1 import Pod
from tiphys.scheduler.arrays import Bools, Ints, Rows
from tiphys.scheduler.cluster import Change, Cluster
from tiphys.scheduler.limits import Limit
from tiphys.scheduler.template import PodInfo, Template

if TYPE_CHECKING:
    from tiphys.scheduler.evaluation import Diagnosis, Evaluations
    from tiphys.scheduler.nominations import Nominations

MAXIMUM_SCORE = 100


class Point(StrEnum):
    """The extension points; the values are upstream's names in a KubeSchedulerConfiguration."""

    PRE_ENQUEUE = "preEnqueue"
    QUEUE_SORT = "queueSort"
    PRE_FILTER = "preFilter"
    FILTER = "filter"
    POST_FILTER = "postFilter"
    PRE_SCORE = "preScore"
    SCORE = "score"
    RESERVE = "reserve"
    PERMIT = "permit"
    PRE_BIND = "preBind"
    BIND = "bind"
    POST_BIND = "postBind"


class Rejected(Exception):
    """A plugin does not let a placed pod have its node; the text is shown to users. The pod is tried again.

    `unschedulable`: until something happens that helps the plugin (its `helped_by`), otherwise after a backoff.
    """

    def __init__(self, reason: str, *, unschedulable: bool = True, plugin: str = "") -> None:
        super().__init__(reason)
        self.unschedulable = unschedulable
        self.plugin = plugin
        """Who rejects; filled in by the scheduler."""


class Wait(NamedTuple):
    """`permit`: the pod keeps its place on the node but is not bound before somebody allows it, at most this long."""

    timeout_seconds: float


class Trigger(Flag):
    """What happens in a cluster that can make an unschedulable pod schedulable."""

    NODE_ADDED = auto()
    NODE_CHANGED = auto()
    POD_PLACED = auto()
    POD_GONE = auto()
    POD_CHANGED = auto()
    STORAGE_CHANGED = auto()
    DEVICES_CHANGED = auto()


class Event(NamedTuple):
    """What happened to an object: a Node or a Pod; the storage's; as it was before and is now.

    `old` None: it is new, or how it was before is not known. `new` None: it is gone.
    """

    trigger: Trigger
    old: Any
    new: Any


class NodeFilter(ABC):
    """Which nodes can take a pod of one template."""

    reason: str = ""
    """Upstream's words for a rejected node: ``node(s) were unschedulable``."""
    pod_reason: str = ""
    """Not empty if it rejects every node because of the pod: then this alone is reported, without a count."""
    local: ClassVar[bool] = True
    """Whether a node's answer depends on nothing but that node and its pods."""
    resolvable: ClassVar[bool] = False
    """Whether removing pods from a rejected node might help it."""

    @abstractmethod
    def passes(self, rows: Rows) -> Bools:
        """Which of `rows` can take the pod. Entries for rows that are not active mean nothing."""

    def passes_one(self, row: int) -> bool:
        """The same of one row: asked after every placement, so worth to be answered without arrays if that is easy."""
        return bool(self.passes(slice(row, row + 1))[0])

    def concerns(self, template: Template) -> bool:
        """Whether `changed` is to be asked about pods of that template at all; asked once a template."""
        return True

    def changed(self, change: Change) -> bool:
        """A pod came or went. Only asked if not `local`: returns whether any node's answer may differ."""
        return False

    def reasons(self, rows: Ints) -> Iterator[tuple[str, Bools]]:
        """Why the rows (all rejected) are: each reason with the rows it holds for."""
        yield self.reason, np.ones(len(rows), np.bool_)

    def unresolvable(self, rows: Ints) -> Bools:
        """For which of the rows (all rejected) no removal of pods helps."""
        return np.full(len(rows), not self.resolvable)

    def demand(self) -> tuple[Ints, Ints] | None:
        """(columns, amounts) if a node passes exactly where so much is free of its resource columns; None if not so."""
        return None

    def limits(self) -> Sequence[Limit] | None:
        """Bounds that say the same as `passes`, so that removals of pods can be computed for many nodes at once.

        None: it cannot be said so; then preemption tries one node after the other.
        """
        return None


class NodeScore(ABC):
    """How good nodes are for a pod of one template."""

    local: ClassVar[bool] = True
    """As in NodeFilter, of the raw score."""
    normalized: ClassVar[bool] = False
    """Whether `normalize` does anything."""

    @abstractmethod
    def score(self, rows: Rows) -> Ints:
        """Raw scores of `rows`; 0..100 unless `normalized`."""

    def score_one(self, row: int) -> int:
        """The same of one row, as in NodeFilter."""
        return int(self.score(slice(row, row + 1))[0])

    def concerns(self, template: Template) -> bool:
        """As in NodeFilter."""
        return True

    def changed(self, change: Change) -> bool:
        """As in NodeFilter."""
        return False

    def normalize(self, scores: Ints, feasible: Bools) -> Ints:
        """The scores of all nodes as 0..100; those where not `feasible` are never looked at."""
        return scores


class Disruption(NamedTuple):
    """What a PodDisruptionBudget has left: pods it covers (told by their templates), and how many may go."""

    covers: Callable[[PodInfo], bool]
    allowed: int
    excused: frozenset[str] = frozenset()
    """Names of pods that are already counted as gone."""


class Candidate(NamedTuple):
    """A node and the pods to remove from it, by falling priority; none if it is only to be kept for the pod."""

    row: int
    victims: tuple[PodInfo, ...]
    violations: int = 0
    """How many victims a disruption budget would not let go."""


class Refusal(NamedTuple):
    """Why a `post_filter` does not help, as the words that follow ``preemption: ``."""

    message: str
    ends_nomination: bool = False
    """Whether a node is no longer kept for the pod: no room can be made on any."""


class Failure(NamedTuple):
    """What a `post_filter` looks at: a pod that fits nowhere, and why."""

    info: PodInfo
    diagnosis: Diagnosis
    cluster: Cluster
    evaluations: Evaluations
    nominations: Nominations
    budgets: Callable[[], Sequence[Disruption]]


class Plugin:
    """A name and what it does at the extension points. Made once a profile: ``SomePlugin(args, handle)``.

    `filter` and `score` are pure: they answer from the template and the cluster. Of the other points a plugin has
    those it overrides. Only the `async` ones may wait; the others are called between two decisions and must be quick.
    """

    name: ClassVar[str]
    helped_by: ClassVar[Trigger] = Trigger(0)
    """After which events a pod this plugin rejected is worth another try."""
    of_shape: ClassVar[bool] = False
    """Whether `filter` and `score` look at nothing of a template beyond its `shape`, and of the cluster only at nodes
    and the pods on each: then templates of one shape share the answers."""
    args_type: ClassVar[Any] = None
    """The msgspec Struct of its `pluginConfig` args; None: it takes none."""

    def __init__(self, args: Any = None, handle: Any = None) -> None:
        """`args`: an `args_type`, None for the defaults. `handle`: a Handle, None where nothing is ever bound."""
        self.args = args if args is not None or self.args_type is None else self.args_type()
        self.handle = handle

    def key(self, pod: Pod) -> object:
        """What of the pod, beyond what a Template has, its placement depends on by this plugin: pods that differ in it
        are of different templates. It is `template.facts[name]`; JSON-encodable; None: nothing."""
        return None

    def pre_enqueue(self, pod: Pod) -> str:
        """Why the pod is not even to be considered now; empty if it is."""
        return ""

    def filter(self, template: Template, cluster: Cluster) -> NodeFilter | None:
        """Which nodes can take such pods; None if that is not for this plugin to say."""
        return None

    def score(self, template: Template, cluster: Cluster) -> NodeScore | None:
        """Which nodes are better for such pods; None if they are all alike."""
        return None

    def may_help(self, template: Template, event: Event) -> bool:
        """Whether an event of a kind in `helped_by` may let such pods pass that this plugin rejected (upstream's
        QueueingHint). If unsure it may: a pod that is not told waits for five minutes. Of a node, go by how it is now:
        it may have come after the pod was rejected. Asked often: be quick."""
        return True

    def post_filter(self, failure: Failure) -> Candidate | Refusal | None:
        """A way to make the pod fit. The first plugin with a Candidate is followed."""
        return None

    def reserve(self, info: PodInfo, node_name: str) -> None:
        """The pod is placed: take for it what it needs there. Raises Rejected."""

    def unreserve(self, info: PodInfo, node_name: str) -> None:
        """The pod is not placed after all. Also called if `reserve` was not, or failed; idempotent."""

    def permit(self, info: PodInfo, node_name: str) -> Wait | None:
        """Whether the pod may be bound: None at once; or it waits for ``handle.waiting.allow``. Raises Rejected."""
        return None

    def has_work(self, info: PodInfo) -> bool:
        """Whether `pre_bind` has anything to do for this pod (upstream's PreBindPreFlight): most pods bind faster."""
        return True

    async def pre_bind(self, info: PodInfo, node_name: str) -> None:
        """What must be done before the pod is bound. Raises Rejected, ApiError, OSError or TimeoutError."""

    async def bind(self, info: PodInfo, node_name: str) -> bool:
        """Bind the pod, if it is this plugin that does: returns whether it did. Raises as `pre_bind`."""
        return False

    def post_bind(self, info: PodInfo, node_name: str) -> None:
        """The pod was bound."""


_METHODS: Final = {
    Point.PRE_ENQUEUE: ("pre_enqueue",),
    Point.FILTER: ("filter",),
    Point.POST_FILTER: ("post_filter",),
    Point.SCORE: ("score",),
    Point.RESERVE: ("reserve", "unreserve"),
    Point.PERMIT: ("permit",),
    Point.PRE_BIND: ("pre_bind",),
    Point.BIND: ("bind",),
    Point.POST_BIND: ("post_bind",),
}


def has_point(plugin: Plugin | type[Plugin], point: Point) -> bool:
    """Whether the plugin does anything at that point. At PreFilter and PreScore nothing is: `filter`, `score` do it."""
    kind = plugin if isinstance(plugin, type) else type(plugin)
    return any(getattr(kind, method) is not getattr(Plugin, method) for method in _METHODS.get(point, ()))


def default_normalize(scores: Ints, feasible: Bools, *, reverse: bool) -> Ints:
    """Scale so that the best feasible node has 100; `reverse`: the highest raw score gets 0."""
    highest = int(scores.max(where=feasible, initial=0))
    if highest == 0:
        return np.full_like(scores, MAXIMUM_SCORE) if reverse else scores
    scaled = scores * MAXIMUM_SCORE // highest
    return MAXIMUM_SCORE - scaled if reverse else scaled
