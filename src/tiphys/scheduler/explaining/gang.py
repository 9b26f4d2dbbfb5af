"""A pod that is placed with others of its pod group or not at all."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import ExitStack
from typing import Final, NamedTuple

from msgspec.structs import replace

from tiphys.api.types.core_v1 import Pod
from tiphys.scheduler.explaining.explain import explain
from tiphys.scheduler.explaining.explanation import Explanation, Verdict, bounded, counted
from tiphys.scheduler.explaining.model import Model
from tiphys.scheduler.explaining.replicas import count_nodes
from tiphys.scheduler.template import DEFAULT_SCHEDULER_NAME, PodInfo

_MAY_BE_FOR_ITS_GANG: Final = (Verdict.SCHEDULABLE, Verdict.UNSCHEDULABLE, Verdict.GATED)


class Gang(NamedTuple):
    """A pod's group. `minimum` is None if there is no group of the name; 0: its pods are placed one by one."""

    name: str
    minimum: int | None
    waiting: tuple[Pod, ...] = ()
    """Its pods without a node, the one that is asked about included."""
    placed: int = 0
    """How many of it have a node."""
    lacks: str = ""
    """What of its minResources the nodes have not free, in words; empty: nothing."""


def explain_member(
    pod: Pod, gang: Gang, model: Model, schedulers: Collection[str] = (DEFAULT_SCHEDULER_NAME,)
) -> Explanation:
    """Why `pod` waits, if it does so for its group; else the answer for the pod alone."""
    alone = explain(pod, model, schedulers)
    if pod.spec.scheduling_gates or alone.verdict not in _MAY_BE_FOR_ITS_GANG or gang.minimum == 0:
        return alone
    if gang.minimum is None:
        said = f"It waits for its pod group {gang.name}, which does not exist"
        return replace(alone, verdict=Verdict.WAITING, summary=f"{said}.", notes=())
    there, needed = gang.placed + len(gang.waiting), gang.minimum - gang.placed
    group = f"its pod group {gang.name}, of which at least {gang.minimum} are placed together"
    if there < gang.minimum:
        said = f"It waits for {group}: there are {there}, and {counted(gang.minimum - there, 'more pod')} must be made"
        return bounded(replace(alone, verdict=Verdict.WAITING, summary=f"{said}.", notes=()))
    if needed <= 0:
        return alone
    if gang.lacks:
        return bounded(
            replace(alone, verdict=Verdict.WAITING, summary=f"It waits for {group}: {gang.lacks}.", notes=())
        )
    refused, fit = _first_refused(gang, needed, model, schedulers)
    if refused is None:
        return alone
    told = f"It waits for {group}: only {fit} of {needed} fit at the same time. {refused.subject}: {refused.summary}"
    shown = replace(refused, subject=alone.subject, since=alone.since, reported=alone.reported, summary=told)
    return bounded(count_nodes(shown, gang.waiting, model))


def _first_refused(
    gang: Gang, needed: int, model: Model, schedulers: Collection[str]
) -> tuple[Explanation | None, int]:
    """The answer for the first that finds no room beside those before it, and how many these are; None: all fit."""
    fit, refused = 0, None
    with ExitStack() as undo:
        for member in gang.waiting:
            rows = model.judge(member).rows
            if len(rows):
                info = PodInfo(member, model.template_of(member))
                model.cluster.place(info, model.cluster.nodes.names[int(rows[0])])
                undo.callback(model.cluster.remove, info)
                fit += 1
            elif refused is None:
                # Beside those that fit before it: that is what it finds no room with.
                refused = explain(member, model, schedulers)
            if fit >= needed:
                return None, fit
    return refused, fit
