"""A Deployment: its pods that wait, or why it has none. Refused pods are read from what its ReplicaSets say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from tiphys.api.quantity import Quantity
from tiphys.api.types.apps_v1 import Deployment, ReplicaSet
from tiphys.api.types.core_v1 import Pod
from tiphys.scheduler.explaining import amounts
from tiphys.scheduler.explaining.explanation import (
    Change,
    Explanation,
    PodBrief,
    Remedy,
    Verdict,
    bounded,
    shorten,
)

_QUOTA: Final = re.compile(r"exceeded quota: (\S+), requested: (\S+), used: (\S+), limited: (\S+)")
_FINISHED: Final = ("Succeeded", "Failed")


def is_troubled(pod: Pod) -> bool:
    """Whether the pod is not yet, or no longer, what its Deployment wants."""
    ready = any(condition.type == "Ready" and condition.status == "True" for condition in pod.status.conditions)
    return not ready and pod.status.phase not in _FINISHED and pod.metadata.deletion_timestamp is None


def urgency(pod: Pod) -> tuple[bool, str]:
    """Sorts pods without a node first."""
    return (bool(pod.spec.node_name), pod.metadata.name or "")


def explain_deployment(
    deployment: Deployment, sets: Sequence[ReplicaSet], pods: Sequence[Pod], explained: Sequence[Explanation]
) -> Explanation:
    """`sets` and `pods` are the Deployment's; `explained` the answers for those of the pods that are in trouble."""
    meta, wanted = deployment.metadata, 1 if deployment.spec.replicas is None else deployment.spec.replicas
    base = Explanation(
        subject=f"deployment/{meta.name}", namespace=meta.namespace or "", verdict=Verdict.RUNNING, summary=""
    )
    refusals = [
        condition.message or ""
        for owned in sets
        for condition in owned.status.conditions
        if condition.type == "ReplicaFailure" and condition.status == "True"
    ]
    alive = [pod for pod in pods if pod.metadata.deletion_timestamp is None and pod.status.phase not in _FINISHED]
    missing = max(0, wanted - len(alive))
    notes = tuple(f"Pods are refused: {shorten(message)}" for message in refusals[:2])
    if explained:
        first = explained[0]
        troubled = sum(map(is_troubled, pods))
        briefs = tuple(
            PodBrief(name=answer.subject, verdict=str(answer.verdict), summary=shorten(answer.summary, 400))
            for answer in explained
        )
        are = "is" if troubled == 1 else "are"
        said = f"{troubled} of {len(alive)} pods {are} not ready. {first.subject}: {first.summary}"
        owner = f"Deployment/{meta.name}"
        remedies = (*first.remedies, *_quota_remedies(refusals, meta.namespace or "", missing))
        shown = replace(first, subject=base.subject, summary=said, owner=owner, remedies=remedies)
        return bounded(replace(shown, pods=briefs, notes=(*first.notes, *notes)))
    if refusals and missing:
        remedies = _quota_remedies(refusals, meta.namespace or "", missing)
        said = f"It has {len(alive)} of {wanted} pods, for pods are refused: {shorten(refusals[0], 600)}"
        return bounded(replace(base, verdict=Verdict.NO_PODS, summary=f"{said}.", remedies=remedies, notes=notes[1:]))
    if not missing:
        said = "It is scaled to 0" if not wanted else f"All its {wanted} pods run and are ready"
        verdict = Verdict.RUNNING if wanted else Verdict.NO_PODS
        return replace(base, verdict=verdict, summary=f"{said}.")
    return replace(base, verdict=Verdict.NO_PODS, summary=_none_yet(deployment, sets, len(alive), wanted))


def _none_yet(deployment: Deployment, sets: Sequence[ReplicaSet], alive: int, wanted: int) -> str:
    have = f"It has {alive} of {wanted} pods"
    if deployment.metadata.deletion_timestamp is not None:
        return f"{have}: it is being deleted."
    if not sets:
        if deployment.spec.paused:
            return f"{have}: it was paused before it had any."
        progress = next((c.message for c in deployment.status.conditions if c.type == "Progressing" and c.message), "")
        told = f": {shorten(progress)}" if progress else "; does the controller manager run?"
        return f"{have}: no ReplicaSet has been made for it yet{told}"
    return f"{have}: its ReplicaSet has not made the others yet; does the controller manager run?"


def _quota_remedies(refusals: Sequence[str], namespace: str, missing: int) -> tuple[Remedy, ...]:
    """For what a ResourceQuota refused: how much more it would have to allow."""
    found: list[Remedy] = []
    for message in dict.fromkeys(refusals):
        match = _QUOTA.search(message)
        if match is None:
            continue
        name, requested, used, limited = match[1], _pairs(match[2]), _pairs(match[3]), _pairs(match[4])
        operations, told = [], []
        for resource in requested.keys() & used.keys() & limited.keys():
            total = used[resource].milli + requested[resource].milli * max(1, missing)
            quantity = _whole(resource, total)
            path = resource.replace("~", "~0").replace("/", "~1")
            operations.append({"op": "replace", "path": f"/spec/hard/{path}", "value": quantity})
            told.append(f"{resource} from {limited[resource]} to {quantity}")
        if operations:
            operations.sort(key=lambda operation: operation["path"])
            text = f"raise the ResourceQuota {name}: {', '.join(sorted(told))} (for {max(1, missing)} more pods)"
            change = Change(
                action="patch", kind="ResourceQuota", name=name, namespace=namespace, patch=tuple(operations)
            )
            found.append(Remedy(kind="RaiseQuota", text=text, changes=(change,), nodes=0))
    return tuple(found)


def _pairs(text: str) -> dict[str, Quantity]:
    return {name: Quantity(value) for name, _, value in (pair.partition("=") for pair in text.split(","))}


def _whole(resource: str, milli: int) -> str:
    """An amount of what a quota counts, ``requests.cpu`` or ``pods``, as one writes it."""
    name = resource.removeprefix("requests.").removeprefix("limits.")
    if name == "cpu":
        return amounts.text(name, milli)
    return amounts.text("memory" if name == "storage" else name, -(-milli // 1000))
