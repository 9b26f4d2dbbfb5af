"""What makes pods: those of its pods that wait, or why it has none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from tiphys.api.quantity import Quantity
from tiphys.api.types.apps_v1 import DaemonSet, Deployment, ReplicaSet
from tiphys.api.types.batch_v1 import Job
from tiphys.api.types.core_v1 import Pod
from tiphys.scheduler.explaining import amounts
from tiphys.scheduler.explaining.explanation import (
    Change,
    Explanation,
    PodBrief,
    Remedy,
    Verdict,
    bounded,
    counted,
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


class Workload(NamedTuple):
    """What makes pods, as far as it matters here."""

    kind: str
    name: str
    namespace: str
    wanted: int
    """How many pods it should have now."""
    refusals: tuple[str, ...] = ()
    """What its controller was told when it made pods, newest first."""
    hint: str = ""
    """Why it may have no pods although nobody refused any."""


def describe(owner: Any, sets: Sequence[ReplicaSet] = (), refusals: Sequence[str] = ()) -> Workload:
    """Of a Deployment (with the ReplicaSets that are its), ReplicaSet, StatefulSet, DaemonSet or Job."""
    told = [
        condition.message or ""
        for owned in (*sets, owner)
        for condition in owned.status.conditions
        if condition.type == "ReplicaFailure" and condition.status == "True"
    ]
    meta = owner.metadata
    return Workload(
        type(owner).__name__,
        meta.name or "",
        meta.namespace or "",
        _wanted(owner),
        tuple(dict.fromkeys(message for message in (*told, *refusals) if message)),
        _hint(owner, sets),
    )


def explain_workload(workload: Workload, pods: Sequence[Pod], explained: Sequence[Explanation]) -> Explanation:
    """`pods` are the workload's; `explained` the answers for those of them that are in trouble, the worst first."""
    wanted, refusals, name = workload.wanted, workload.refusals, f"{workload.kind.lower()}/{workload.name}"
    base = Explanation(subject=name, namespace=workload.namespace, verdict=Verdict.RUNNING, summary="")
    alive = [pod for pod in pods if pod.metadata.deletion_timestamp is None and pod.status.phase not in _FINISHED]
    missing = max(0, wanted - len(alive))
    remedies = _quota_remedies(refusals, workload.namespace, missing) if missing else ()
    if explained:
        first, troubled = explained[0], sum(map(is_troubled, pods))
        briefs = tuple(
            PodBrief(name=answer.subject, verdict=str(answer.verdict), summary=shorten(answer.summary, 400))
            for answer in explained
        )
        notes = tuple(f"Pods are refused: {shorten(message)}" for message in refusals[:2]) if missing else ()
        are = "is" if troubled == 1 else "are"
        said = f"{troubled} of {counted(len(alive), 'pod')} {are} not ready. {first.subject}: {first.summary}"
        owner = f"{workload.kind}/{workload.name}"
        shown = replace(first, subject=name, summary=said, owner=owner, remedies=(*first.remedies, *remedies))
        return bounded(replace(shown, pods=briefs, notes=(*first.notes, *notes)))
    if refusals and missing:
        said = f"It has {len(alive)} of {counted(wanted, 'pod')}, for pods are refused: {shorten(refusals[0], 600)}"
        notes = tuple(f"Also: {shorten(message)}" for message in refusals[1:2])
        return bounded(replace(base, verdict=Verdict.NO_PODS, summary=f"{said}.", remedies=remedies, notes=notes))
    if not missing:
        run = "Its pod runs and is ready" if wanted == 1 else f"All its {wanted} pods run and are ready"
        said = run if wanted else "It wants no pods: it is scaled to 0 or done"
        return replace(base, verdict=Verdict.RUNNING if wanted else Verdict.NO_PODS, summary=f"{said}.")
    said = f"It has {len(alive)} of {counted(wanted, 'pod')}: {workload.hint}"
    return replace(base, verdict=Verdict.NO_PODS, summary=f"{said}.")


def _wanted(owner: Any) -> int:
    if isinstance(owner, DaemonSet):
        return owner.status.desired_number_scheduled
    if isinstance(owner, Job):
        ended = any(c.type in ("Complete", "Failed") and c.status == "True" for c in owner.status.conditions)
        if owner.spec.suspend or ended:
            return 0
        parallel = 1 if owner.spec.parallelism is None else owner.spec.parallelism
        left = (owner.spec.completions or parallel) - (owner.status.succeeded or 0)
        return max(0, min(parallel, left))
    return 1 if owner.spec.replicas is None else int(owner.spec.replicas)


def _hint(owner: Any, sets: Sequence[ReplicaSet]) -> str:
    if owner.metadata.deletion_timestamp is not None:
        return "it is being deleted"
    if isinstance(owner, Deployment) and not sets:
        if owner.spec.paused:
            return "it was paused before it had any"
        progress = next((c.message for c in owner.status.conditions if c.type == "Progressing" and c.message), "")
        made = "no ReplicaSet has been made for it yet"
        return f"{made}: {shorten(progress)}" if progress else f"{made}; does the controller manager run?"
    return "its controller has not made the others yet; does the controller manager run?"


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
            more = counted(max(1, missing), "more pod")
            text = f"raise the ResourceQuota {name}: {', '.join(sorted(told))} (for {more})"
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
