"""One decision: a pod, the cluster as it is known now, a node or the reason why not. Pure but for the random choice."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tiphys.scheduler import messages
from tiphys.scheduler.arrays import ABSENT, Ints
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.evaluation import Diagnosis, Evaluations
from tiphys.scheduler.events import Events
from tiphys.scheduler.framework import Candidate, Disruption, Failure, Point, Refusal, Trigger
from tiphys.scheduler.nominations import Nominations
from tiphys.scheduler.profiles import Profile
from tiphys.scheduler.queue import Group
from tiphys.scheduler.template import PodInfo

Budgets = Callable[[], Sequence[Disruption]]
"""The disruption budgets, asked for only if preemption is considered."""
EXTENDER: Final = "Extender"
"""In the place of a plugin's name: an extender, which is no plugin, rejected a node. Anything may change its mind."""


@dataclass(frozen=True, slots=True)
class Placed:
    """The pod goes to this node."""

    node_name: str


@dataclass(frozen=True, slots=True)
class Unplaceable:
    """No node can take the pod now."""

    message: str
    """What is reported: upstream's ``0/3 nodes are available: …``."""
    rejected_by: frozenset[str]
    """The plugins that stood in the way."""
    preemption: Candidate | None
    """Pods to remove for it, on a node to nominate."""
    ends_nomination: bool = False
    """Whether no node is to be kept for it any more."""


class Algorithm:
    """Decides for the pods of one profile. Changes nothing of the cluster. `nominations`: shared by all profiles."""

    def __init__(
        self, cluster: Cluster, profile: Profile, rng: random.Random, nominations: Nominations | None = None
    ) -> None:
        self.cluster = cluster
        self.profile = profile
        self.nominations = nominations if nominations is not None else Nominations()
        self.evaluations = Evaluations(cluster, profile.filters, profile.scores)
        self._rng = rng
        self._post_filters = profile.at(Point.POST_FILTER)
        self._plugins = {plugin.name: plugin for plugin in profile.plugins}
        self._helped_by = {plugin.name: plugin.helped_by for plugin in profile.plugins}

    def decide(self, info: PodInfo, budgets: Budgets, *, preempting: bool = True) -> Placed | Unplaceable:
        """Where `info` goes. Not `preempting`: nobody is asked to make room (PostFilter)."""
        nodes = self.cluster.nodes
        evaluation = self.evaluations.of(info.template)
        blocked = self.nominations.blocked(info, self.cluster)
        nominated = nodes.rows.get(self.nominations.node_of(info.key) or info.pod.status.nominated_node_name or "")
        if nominated is not None and nominated not in blocked and evaluation.takes(nominated):
            if self.leaves_room(info, nominated):
                return Placed(nodes.names[nominated])
            blocked = [*blocked, nominated]
        # Asked for anew each time: who asked whether there is room left had others placed meanwhile.
        while (row := self.evaluations.of(info.template).select(self._rng, blocked)) != ABSENT:
            if self.leaves_room(info, row):
                return Placed(nodes.names[row])
            blocked = [*blocked, row]
        diagnosis = self.evaluations.of(info.template).diagnose()
        return self.unplaceable(info, diagnosis, blocked, budgets if preempting else None)

    def is_helped(self, plugin: str, trigger: Trigger) -> bool:
        """Whether an event is of a kind that may change that plugin's mind."""
        return bool(self._helped_by.get(plugin, Trigger(0)) & trigger) or plugin == EXTENDER

    def concerns(self, group: Group, events: Events, groups: int = 1) -> bool:
        """Whether some event may have made the group's pods schedulable: by its kind, and by what plugins say of it.

        `groups`: of how many it is asked this turn.
        """
        if not group.rejected_by:
            return True
        if EXTENDER in group.rejected_by:
            return True
        for name in group.rejected_by:
            kinds = self._helped_by.get(name, Trigger(0)) & events.trigger
            if not kinds:
                continue
            found = events.of(kinds, groups)
            if found is None or any(self._plugins[name].may_help(group.template, event) for event in found):
                return True
        return False

    def helps(self, group: Group, events: Events, groups: int = 1) -> bool | None:
        """Whether events have made the group's pods schedulable: as `concerns`, and then by asking of all nodes.

        None: no, but they may have changed why they are not.
        """
        if not any(self.is_helped(name, events.trigger) for name in group.rejected_by or self._helped_by):
            return False
        if not self.concerns(group, events, groups):
            return None
        return bool(self.evaluations.of(group[0]).feasible().any()) or None

    def unplaceable(
        self, info: PodInfo, diagnosis: Diagnosis, blocked: Sequence[int], budgets: Budgets | None
    ) -> Unplaceable:
        """What is said of a pod that no node takes, and who is to go for it; `blocked`: rows kept for others."""
        cluster = self.cluster
        if not diagnosis.nodes:
            return Unplaceable(messages.NO_NODES, frozenset(), None)
        reasons, why = diagnosis.reasons.copy(), diagnosis.pod_reason
        if blocked:
            reasons += self._promised(info, np.array(blocked, np.int64))
            # Those of lower priority on such a node can make room besides.
            diagnosis = diagnosis._replace(resolvable=np.union1d(diagnosis.resolvable, np.array(blocked, np.int64)))
        if budgets is None:
            message = messages.unavailable(diagnosis.nodes, reasons, "", pod_reason=why)
            return Unplaceable(message, diagnosis.rejected_by, None)
        outcome = self._post_filter(Failure(info, diagnosis, cluster, self.evaluations, self.nominations, budgets))
        if isinstance(outcome, Candidate):
            message = messages.unavailable(diagnosis.nodes, reasons, "", pod_reason=why)
            return Unplaceable(message, diagnosis.rejected_by, outcome)
        refusal = outcome or Refusal("")
        message = messages.unavailable(diagnosis.nodes, reasons, refusal.message, pod_reason=why)
        return Unplaceable(message, diagnosis.rejected_by, None, refusal.ends_nomination)

    def _promised(self, info: PodInfo, blocked: Ints) -> Counter[str]:
        """Why nodes that would take the pod do not: as filters say with those there that the nodes are kept for."""
        evaluation = self.evaluations.of(info.template)
        reasons, others = self.nominations.lacking(info, self.cluster, blocked[evaluation.feasible()[blocked]])
        for row in others.tolist():
            name = self.cluster.nodes.names[row]
            with self.cluster.hosting(self.nominations.before(info, name), name):
                reasons += self.evaluations.of(info.template).why(row)
        return reasons

    def _post_filter(self, failure: Failure) -> Candidate | Refusal | None:
        refusal: Refusal | None = None
        for plugin in self._post_filters:
            outcome = plugin.post_filter(failure)
            if isinstance(outcome, Candidate):
                return outcome
            refusal = refusal or outcome
        return refusal

    def leaves_room(self, info: PodInfo, row: int) -> bool:
        """Whether the pod would fit with those there that the node is kept for, by other means than room, too.

        Like upstream, which asks all filters with and without them: room was looked at for all nodes at once.
        """
        template, cluster = info.template, self.cluster
        name = cluster.nodes.names[row]
        others = self.nominations.before(info, name) if len(self.nominations) else ()
        if not others:
            return True
        picky = any(other.template.anti_affinity for other in others)
        if not picky and self.evaluations.of(template).demand() is not None:
            return True
        with cluster.hosting(others, name):
            return self.evaluations.of(template).takes(row)

    def waits_for_victims(self, info: PodInfo) -> bool:
        """Whether pods are already being removed for it."""
        return self.nominations.waits_for_victims(info, self.cluster)
