"""What an unschedulable pod itself carries: the reasons by plugin and by group of nodes, as one short line of JSON.

Computed once for all pods of a template, as long as the cluster stands still; without figures and remedies, which
`explain` computes for whoever asks.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from tiphys.api.types.core_v1 import Pod
from tiphys.scheduler import messages
from tiphys.scheduler.algorithm import EXTENDER
from tiphys.scheduler.arrays import Bools
from tiphys.scheduler.cluster import Cluster, Version
from tiphys.scheduler.explaining.explanation import Answer, PluginReason, shorten
from tiphys.scheduler.explaining.groups import Group, group, reasons_of, shared_labels
from tiphys.scheduler.explaining.judging import Judgement, Reason
from tiphys.scheduler.framework import Plugin
from tiphys.scheduler.template import Template

MAXIMUM_BYTES: Final = 1024
MAXIMUM_TEMPLATES: Final = 128
FRESH_SECONDS: Final = 1.0
"""While pods come and go, the counts are out of date by the next decision anyway."""
_REASONS: Final = 12
_GROUPS: Final = 6
_LABELS: Final = 2
_PREEMPTION: Final = "DefaultPreemption"


class CarriedGroup(Answer, kw_only=True):
    """Nodes that reject the pod for the same set of reasons."""

    nodes: int
    reasons: tuple[int, ...]
    """Places in the list of reasons."""
    taints: str = ""
    """The taints that one of the reasons is about, as ``key=value:effect``."""
    labels: dict[str, tuple[str, ...]] = {}
    example: str = ""


class Carried(Answer, kw_only=True):
    """The annotation's value. A node counts under every reason that holds for it."""

    nodes: int
    reasons: tuple[PluginReason, ...] = ()
    groups: tuple[CarriedGroup, ...] = ()
    left_out: int = 0
    """Groups that were cut."""


class CarriedReasons:
    """The value for the pods of a template, remembered: it is made at most once in `FRESH_SECONDS`."""

    def __init__(self, cluster: Cluster, filters: Sequence[Plugin]) -> None:
        self._cluster = cluster
        self._filters = filters
        #: By template and what is said besides: the value, when it was made, and version and end of the log then.
        self._known: OrderedDict[tuple[int, str], tuple[str, float, Version, int]] = OrderedDict()

    def of(
        self, template: Template, now: float, promised: Sequence[int] = (), besides: tuple[str, str] = ("", "")
    ) -> str:
        """Why no node takes such a pod, as of now or a moment ago; at most `MAXIMUM_BYTES` long.

        `promised`: the rows whose room is kept for other pods, whatever the filters say. `besides`: what a plugin says
        of the pod that is no filter's to say, such as that its gang does not fit: (plugin, words).
        """
        cluster = self._cluster
        # Asking for the vector may add a resource column, which moves the version.
        cluster.vector(template)
        version, position = cluster.version(template), cluster.position
        key = (template.id, besides[1])
        known = self._known.get(key)
        if known is not None and (now < known[1] + FRESH_SECONDS or known[2:] == (version, position)):
            return known[0]
        carried = _carried(template, cluster, self._filters, promised, [besides] if besides[1] else [])
        text = _encoded(carried)
        self._known[key] = (text, now, version, position)
        self._known.move_to_end(key)
        if len(self._known) > MAXIMUM_TEMPLATES:
            self._known.popitem(last=False)
        return text


def by_extender(pod: Pod) -> bool:
    """Whether an extender, whom nobody but the scheduler asks, rejected some node for the pod."""
    try:
        carried = msgspec.json.decode(pod.metadata.annotations.get(messages.WHY_ANNOTATION, ""), type=Carried)
    except msgspec.DecodeError:
        return False
    return any(reason.plugin == EXTENDER for reason in carried.reasons)


def _carried(
    template: Template,
    cluster: Cluster,
    filters: Sequence[Plugin],
    promised: Sequence[int],
    besides: list[tuple[str, str]],
) -> Carried:
    judgement = Judgement(template, cluster, filters)
    about_pod = [
        PluginReason(plugin=plugin, reason=shorten(words)) for plugin, words in (*besides, *judgement.pod_reasons)
    ]
    told_apart = reasons_of(judgement, cluster)
    if promised:
        kept = np.zeros(len(judgement.active), np.bool_)
        kept[list(promised)] = True
        kept &= judgement.feasible
        judgement.feasible &= ~kept
        told_apart.append(Reason(_PREEMPTION, messages.NOMINATED_ROOM, "", kept))
    columns: dict[tuple[str, str], Bools] = {}
    for reason in told_apart:
        known = columns.get(reason[:2])
        columns[reason[:2]] = reason.rows if known is None else known | reason.rows
    counted = sorted(((int(np.count_nonzero(rows)), *key) for key, rows in columns.items()), reverse=True)[:_REASONS]
    places = {(plugin, words): len(about_pod) + place for place, (_, plugin, words) in enumerate(counted)}
    groups = sorted(group(judgement, told_apart), key=lambda found: -len(found.rows))
    return Carried(
        nodes=cluster.nodes.count,
        reasons=(*about_pod, *(PluginReason(plugin=p, reason=shorten(words), nodes=n) for n, p, words in counted)),
        groups=tuple(_group(found, places, cluster) for found in groups[:_GROUPS]),
        left_out=max(0, len(groups) - _GROUPS),
    )


def _group(found: Group, places: dict[tuple[str, str], int], cluster: Cluster) -> CarriedGroup:
    return CarriedGroup(
        nodes=len(found.rows),
        reasons=tuple(dict.fromkeys(places[reason[:2]] for reason in found.reasons if reason[:2] in places)),
        taints=shorten(", ".join(reason.subject for reason in found.reasons if reason.subject), 120),
        labels=dict(list(shared_labels(found.rows, cluster).items())[:_LABELS]),
        example=cluster.nodes.names[found.rows[0]],
    )


def _encoded(carried: Carried) -> str:
    while len(text := msgspec.json.encode(carried)) > MAXIMUM_BYTES and carried.groups:
        carried = msgspec.structs.replace(carried, groups=carried.groups[:-1], left_out=carried.left_out + 1)
    while len(text) > MAXIMUM_BYTES and carried.reasons:
        carried = msgspec.structs.replace(carried, reasons=carried.reasons[:-1])
        text = msgspec.json.encode(carried)
    return text.decode()
