"""Which daemon pods to make and to delete. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from tiphys.api.types.apps_v1 import DaemonSet, DaemonSetStatus
from tiphys.api.types.core_v1 import Node, Pod, PodSpec, Toleration
from tiphys.controllers.history import HASH_LABEL
from tiphys.controllers.node_affinity import fits, pinned, tolerated
from tiphys.controllers.pods import (
    FAILED,
    SUCCEEDED,
    available_in_seconds,
    is_available,
    is_ready,
    pod_from_template,
    with_labels,
)
from tiphys.controllers.scaling import resolve

BURST: Final = 250
GENERATION_ANNOTATION: Final = "deprecated.daemonset.template.generation"
GENERATION_LABEL: Final = "pod-template-generation"

_TOLERATED: Final = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)
_TOLERATED_BY_HOST_NETWORK: Final = (("node.kubernetes.io/network-unavailable", "NoSchedule"),)


def with_tolerations(spec: PodSpec) -> PodSpec:
    """The pod spec that tolerates what daemons tolerate."""
    wanted = [*_TOLERATED, *(_TOLERATED_BY_HOST_NETWORK if spec.host_network else ())]
    kept = [t for t in spec.tolerations if (t.key, t.effect) not in wanted or t.operator != "Exists"]
    added = [Toleration(key=key, operator="Exists", effect=effect) for key, effect in wanted]
    return msgspec.structs.replace(spec, tolerations=(*kept, *added))


def made(daemon_set: DaemonSet, node_name: str, revision_hash: str) -> Pod:
    """A daemon pod pinned to a node; the scheduler binds it."""
    pod = pod_from_template(daemon_set.spec.template, daemon_set)
    spec = with_tolerations(pod.spec)
    pod = msgspec.structs.replace(pod, spec=msgspec.structs.replace(spec, affinity=pinned(spec.affinity, node_name)))
    labels = {HASH_LABEL: revision_hash}
    generation = daemon_set.metadata.annotations.get(GENERATION_ANNOTATION, "")
    if generation:
        labels[GENERATION_LABEL] = generation
    return with_labels(pod, labels)


def should_run(daemon_set: DaemonSet, node: Node) -> tuple[bool, bool]:
    """(whether the node should run a daemon pod, whether one that runs may stay)."""
    spec = with_tolerations(daemon_set.spec.template.spec)
    if not fits(spec, node):
        return False, False
    repelling = [taint for taint in node.spec.taints if not tolerated(taint, spec.tolerations)]
    stays = not any(taint.effect == "NoExecute" for taint in repelling)
    runs = not any(taint.effect in ("NoExecute", "NoSchedule") for taint in repelling)
    return runs, stays


def is_current(pod: Pod, daemon_set: DaemonSet, revision_hash: str) -> bool:
    """Whether the pod is of the current template."""
    generation = daemon_set.metadata.annotations.get(GENERATION_ANNOTATION)
    by_generation = generation is not None and pod.metadata.labels.get(GENERATION_LABEL) == generation
    return by_generation or pod.metadata.labels.get(HASH_LABEL) == revision_hash


@dataclass(slots=True)
class Plan:
    """`create` are names of nodes; `finished` are pods among `delete` that ended, worth an event."""

    create: list[str] = field(default_factory=list)
    delete: list[Pod] = field(default_factory=list)
    finished: list[Pod] = field(default_factory=list)


def plan(
    daemon_set: DaemonSet,
    nodes: Sequence[Node],
    pods: Mapping[str, Sequence[Pod]],
    revision_hash: str,
    now: float,
) -> Plan:
    """What brings `pods` (by node) to one on each node that should run one, of the current template if it rolls."""
    wanted = Plan()
    rolling = _Rolling(daemon_set, revision_hash, now)
    known = set()
    for node in nodes:
        name = node.metadata.name or ""
        known.add(name)
        runs, stays = should_run(daemon_set, node)
        here = list(pods.get(name, ()))
        if not stays or (not runs and not here):
            wanted.delete += [pod for pod in here if pod.metadata.deletion_timestamp is None]
            continue
        ended = [p for p in here if p.status.phase in (FAILED, SUCCEEDED) and p.metadata.deletion_timestamp is None]
        wanted.finished += ended
        wanted.delete += ended
        alive = [pod for pod in here if pod.status.phase not in (FAILED, SUCCEEDED)]
        if not alive:
            if runs and not ended:
                wanted.create.append(name)
            rolling.unavailable += runs
            continue
        rolling.see(name, alive, runs, wanted)
    for name, lost in pods.items():
        # Pods of nodes that are gone (or of none) go too; the node's own end is the pod collector's.
        if name and name not in known:
            wanted.delete += [pod for pod in lost if pod.metadata.deletion_timestamp is None]
    rolling.finish(nodes, wanted)
    return wanted


class _Rolling:
    """The rolling update within a plan: old pods are replaced while few enough nodes are without an available one."""

    def __init__(self, daemon_set: DaemonSet, revision_hash: str, now: float) -> None:
        self._set = daemon_set
        self._hash = revision_hash
        self._now = now
        self._rolls = (daemon_set.spec.update_strategy.type or "RollingUpdate") == "RollingUpdate"
        self._candidates: list[tuple[str, Pod]] = []
        self._broken: list[tuple[str, Pod]] = []
        self._surging = 0
        self.unavailable = 0

    def see(self, node: str, alive: Sequence[Pod], runs: bool, wanted: Plan) -> None:
        """Sort the living pods of one node: one current and one old at most stay for now."""
        current = [pod for pod in alive if is_current(pod, self._set, self._hash)]
        old = [pod for pod in alive if not is_current(pod, self._set, self._hash)]
        for group in (current, old):
            group.sort(key=lambda pod: (not is_ready(pod), pod.metadata.creation_timestamp or ""))
            wanted.delete += [pod for pod in group[1:] if pod.metadata.deletion_timestamp is None]
        seconds = self._set.spec.min_ready_seconds or 0
        if current and old:
            self._surging += 1
            if is_available(current[0], seconds, self._now) and old[0].metadata.deletion_timestamp is None:
                wanted.delete.append(old[0])
        elif current:
            self.unavailable += not is_available(current[0], seconds, self._now)
        elif old and old[0].metadata.deletion_timestamp is not None:
            self.unavailable += 1
        elif old and self._rolls and runs:
            if is_available(old[0], seconds, self._now):
                self._candidates.append((node, old[0]))
            else:
                self._broken.append((node, old[0]))

    def finish(self, nodes: Sequence[Node], wanted: Plan) -> None:
        """Choose the old pods to replace now."""
        if not self._rolls:
            return
        desired = sum(1 for node in nodes if should_run(self._set, node)[0])
        rolling = self._set.spec.update_strategy.rolling_update
        surge = resolve(rolling.max_surge if rolling else 0, desired, round_up=True)
        if surge > 0:
            wanted.create += [node for node, _ in self._broken]
            room = max(0, surge - self._surging - len(self._broken))
            wanted.create += [node for node, _ in self._candidates[:room]]
            return
        limit = resolve(rolling.max_unavailable if rolling else 1, desired, round_up=True, default=1)
        # An old pod that does not work is no loss.
        wanted.delete += [pod for _, pod in self._broken]
        room = max(0, max(1, limit) - self.unavailable - len(self._broken))
        wanted.delete += [pod for _, pod in self._candidates[:room]]


def status(
    daemon_set: DaemonSet,
    nodes: Sequence[Node],
    pods: Mapping[str, Sequence[Pod]],
    revision_hash: str,
    now: float,
) -> tuple[DaemonSetStatus, float | None]:
    """The status to report, and how long until another pod becomes available, if one will."""
    desired = current = wrong = ready = available = updated = 0
    waits: list[float] = []
    seconds = daemon_set.spec.min_ready_seconds or 0
    for node in nodes:
        runs, _ = should_run(daemon_set, node)
        here = sorted(pods.get(node.metadata.name or "", ()), key=lambda pod: pod.metadata.creation_timestamp or "")
        if not runs:
            wrong += bool(here)
            continue
        desired += 1
        if not here:
            continue
        current += 1
        best = next((pod for pod in here if is_ready(pod)), here[0])
        wait = available_in_seconds(best, seconds, now)
        ready += wait is not None
        available += wait == 0.0
        if wait:
            waits.append(wait)
        updated += is_current(best, daemon_set, revision_hash)
    return (
        msgspec.structs.replace(
            daemon_set.status,
            desired_number_scheduled=desired,
            current_number_scheduled=current,
            number_misscheduled=wrong,
            number_ready=ready,
            number_available=available or None,
            number_unavailable=(desired - available) or None,
            updated_number_scheduled=updated or None,
            observed_generation=daemon_set.metadata.generation,
        ),
        min(waits) if waits else None,
    )
