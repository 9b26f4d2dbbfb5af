"""The whole answer for one pod: what it is, which nodes reject it and why, and what would help. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import numpy as np
from msgspec.structs import replace

from tiphys.api.types.core_v1 import Pod, PodCondition
from tiphys.scheduler.arrays import Ints
from tiphys.scheduler.explaining import started
from tiphys.scheduler.explaining.carried import by_extender
from tiphys.scheduler.explaining.details import detail
from tiphys.scheduler.explaining.device_detail import device_detail
from tiphys.scheduler.explaining.explanation import Explanation, NodeGroup, PluginReason, Verdict, bounded, shorten
from tiphys.scheduler.explaining.groups import Group, examples, group, reasons_of, shared_labels, shared_taints
from tiphys.scheduler.explaining.judging import Judgement, Reason
from tiphys.scheduler.explaining.model import Model
from tiphys.scheduler.explaining.phrases import phrase
from tiphys.scheduler.explaining.remedies import Scene, notes
from tiphys.scheduler.explaining.search import search
from tiphys.scheduler.nodes import NodeTable
from tiphys.scheduler.template import DEFAULT_SCHEDULER_NAME

MAXIMUM_NAMED_GROUPS: Final = 40


def explain(pod: Pod, model: Model, schedulers: Collection[str] = (DEFAULT_SCHEDULER_NAME,)) -> Explanation:
    """Why `pod` is where it is. `schedulers` are those known to run. Leaves the model's cluster as it was."""
    base = base_of(pod)
    if (settled := started.settled(pod, base)) is not None:
        return bounded(settled)
    plugin, gate = model.profile.gate(pod)
    if gate:
        return bounded(_opened(pod, gated(pod, base, plugin, gate), model))
    judgement = model.judge(pod)
    reasons = reasons_of(judgement, model.cluster)
    groups = group(judgement, reasons)
    base = replace(
        base,
        nodes=model.cluster.nodes.count,
        fits=len(judgement.rows),
        reasons=_plugin_reasons(judgement, reasons, model),
        groups=tuple(_group(found, judgement, model) for found in groups[:MAXIMUM_NAMED_GROUPS]),
    )
    if len(groups) > MAXIMUM_NAMED_GROUPS:
        base = replace(base, left_out={"groups": len(groups) - MAXIMUM_NAMED_GROUPS})
    name = pod.spec.scheduler_name or DEFAULT_SCHEDULER_NAME
    if name not in schedulers and not base.reported:
        said = f"It waits for a scheduler called {name}, and none of that name has looked at it"
        return bounded(replace(base, verdict=Verdict.UNKNOWN_SCHEDULER, summary=f"{said}."))
    if not base.nodes:
        return bounded(replace(base, verdict=Verdict.NO_NODES, summary="There is no node at all."))
    if base.fits:
        return bounded(_would_fit(pod, base, judgement, model.cluster.nodes))
    scene = Scene(pod, model, judgement)
    base = replace(base, remedies=tuple(search(scene, groups)), notes=tuple(notes(scene)))
    return bounded(_unschedulable(pod, base, judgement))


def base_of(pod: Pod) -> Explanation:
    """What is known of the pod before anything is judged."""
    condition = scheduled_condition(pod)
    return Explanation(
        subject=f"pod/{pod.metadata.name}",
        namespace=pod.metadata.namespace or "",
        verdict=Verdict.UNSCHEDULABLE,
        summary="",
        owner=next((f"{o.kind}/{o.name}" for o in pod.metadata.owner_references if o.controller), ""),
        since=pod.metadata.creation_timestamp or "",
        reported=shorten(condition.message or "", 1000) if condition is not None else "",
    )


def scheduled_condition(pod: Pod) -> PodCondition | None:
    return next((condition for condition in pod.status.conditions if condition.type == "PodScheduled"), None)


def gated(pod: Pod, base: Explanation, plugin: str, said: str) -> Explanation:
    """The answer for a pod that a plugin does not let into the queue, with what that says."""
    gates = ", ".join(gate.name for gate in pod.spec.scheduling_gates)
    if gates:
        said = f"its scheduling gates are not removed yet ({shorten(gates)}); whoever put them there must remove them"
    reasons = (PluginReason(plugin=plugin, reason=shorten(said)),)
    return replace(base, verdict=Verdict.GATED, reasons=reasons, summary=f"It is held back: {shorten(said)}.")


def _opened(pod: Pod, held: Explanation, model: Model) -> Explanation:
    """With what would open a gate that is not of the pod's own making: it is a claim that does not exist."""
    if pod.spec.scheduling_gates:
        return held
    judgement = model.judge(pod)
    remedies = search(Scene(pod, model, judgement), []) if judgement.pod_reasons else []
    return replace(held, nodes=model.cluster.nodes.count, remedies=tuple(remedies))


def _would_fit(pod: Pod, base: Explanation, judgement: Judgement, nodes: NodeTable) -> Explanation:
    name = nodes.names[int(judgement.rows[0])]
    count = f"{base.fits:,} of {base.nodes:,} nodes" if base.fits > 1 else f"node {name}"
    if pod.status.nominated_node_name:
        said = f"It waits for the pods that are being removed for it on node {pod.status.nominated_node_name}"
        return replace(base, verdict=Verdict.WAITING, summary=f"{said}.")
    if by_extender(pod):
        said = f"No plugin stands in its way: {count} would take it. An extender said something else when it was asked"
        reported = (f"The scheduler reported: {base.reported}", "Extenders are not asked here.")
        return replace(base, verdict=Verdict.WAITING, summary=f"{said}.", notes=reported)
    said = f"Nothing stands in its way now: {count} would take it, so the scheduler should place it within seconds"
    notes = ("If it stays pending, the scheduler does not run, or holds it back after a failed attempt.",)
    return replace(base, verdict=Verdict.SCHEDULABLE, summary=f"{said}.", notes=notes)


def _unschedulable(pod: Pod, base: Explanation, judgement: Judgement) -> Explanation:
    said_more = list(base.notes)
    nominated = pod.status.nominated_node_name
    if nominated:
        said_more.append(f"It is promised the room of less important pods that are being removed on node {nominated}.")
    if pod.spec.preemption_policy == "Never":
        said_more.append("It may not have less important pods removed for it: its preemptionPolicy is Never.")
    if judgement.pod_reasons:
        said = "; ".join(words for _, words in judgement.pod_reasons)
        return replace(
            base, summary=f"No node can take it, whatever the nodes are like: {said}.", notes=tuple(said_more)
        )
    which = "The only node does not take it" if base.nodes == 1 else f"None of the {base.nodes:,} nodes takes it"
    return replace(base, summary=f"{which}{_leading(base)}.", notes=tuple(said_more))


def _leading(base: Explanation) -> str:
    """What is in the way where least is."""
    if not base.groups:
        return ""
    nearest = base.groups[0]
    words = " and ".join(dict.fromkeys(phrase(reason.reason) for reason in nearest.reasons[:3]))
    if nearest.nodes == base.nodes:
        return f": {words}"
    where = nearest.examples[0] if nearest.nodes == 1 else f"{nearest.nodes:,} nodes such as {nearest.examples[0]}"
    return f". Least is in the way on {where}: {words}"


def _plugin_reasons(judgement: Judgement, reasons: list[Reason], model: Model) -> tuple[PluginReason, ...]:
    """By plugin: what each says of how many nodes. Taints are counted together here, and told apart in the groups."""
    about_pod = [PluginReason(plugin=plugin, reason=shorten(words)) for plugin, words in judgement.pod_reasons]
    merged: dict[tuple[str, str], Reason] = {}
    for reason in reasons:
        key = (reason.plugin, reason.words)
        known = merged.get(key)
        merged[key] = reason if known is None else known._replace(rows=known.rows | reason.rows, subject="")
    found = []
    for reason in merged.values():
        rows = np.flatnonzero(reason.rows)
        told = _told(reason, rows, judgement, model)
        found.append(PluginReason(plugin=reason.plugin, reason=shorten(reason.words), nodes=len(rows), detail=told))
    return (*about_pod, *sorted(found, key=lambda reason: (-reason.nodes, reason.plugin, reason.reason)))


def _told(reason: Reason, rows: Ints, judgement: Judgement, model: Model) -> str:
    if reason.plugin == "DynamicResources" and model.devices is not None:
        return shorten(device_detail(rows, judgement.template, model.cluster, model.devices))
    return detail(reason, rows, judgement.template, model.cluster)


def _group(found: Group, judgement: Judgement, model: Model) -> NodeGroup:
    cluster, template = model.cluster, judgement.template
    told = tuple(
        PluginReason(
            plugin=reason.plugin,
            reason=shorten(reason.words),
            nodes=len(found.rows),
            detail=_told(reason, found.rows, judgement, model),
        )
        for reason in found.reasons[:8]
    )
    return NodeGroup(
        nodes=len(found.rows),
        reasons=told,
        labels=shared_labels(found.rows, cluster, tuple(template.node_selector)[:2]),
        taints=shared_taints(found.rows, cluster),
        examples=examples(found.rows, cluster),
    )
