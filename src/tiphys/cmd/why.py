"""`tiphys why KIND/NAME`: why a pod is where it is, or nowhere. Works against any Kubernetes, and on a snapshot."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import typer
from msgspec.structs import replace

from tiphys.api.errors import ApiError
from tiphys.api.types import core_v1
from tiphys.api.types.apps_v1 import DaemonSet, Deployment, ReplicaSet, StatefulSet
from tiphys.api.types.batch_v1 import Job
from tiphys.api.types.core_v1 import Pod
from tiphys.client.client import Client
from tiphys.cmd.administration import Administration, users_own
from tiphys.cmd.config import ConfigError
from tiphys.cmd.simulate import profiles_of, read_file
from tiphys.scheduler.explaining import preempting, replicas, workload
from tiphys.scheduler.explaining.explain import explain
from tiphys.scheduler.explaining.explanation import Explanation, encode
from tiphys.scheduler.explaining.gang import Gang, explain_member
from tiphys.scheduler.explaining.model import Model
from tiphys.scheduler.explaining.told import told
from tiphys.scheduler.explaining.words import render
from tiphys.scheduler.gangs.minimum_resources import lacking, said_of
from tiphys.scheduler.profiles import DEFAULT_SCHEDULER_NAME, ProfileMaker, default_profile
from tiphys.scheduler.snapshot import Snapshot
from tiphys.scheduler.snapshot_file import SnapshotFileError

_KINDS: Final[dict[str, type[Any]]] = {
    **dict.fromkeys(("pod", "pods", "po"), Pod),
    **dict.fromkeys(("deployment", "deployments", "deploy"), Deployment),
    **dict.fromkeys(("replicaset", "replicasets", "rs"), ReplicaSet),
    **dict.fromkeys(("statefulset", "statefulsets", "sts"), StatefulSet),
    **dict.fromkeys(("daemonset", "daemonsets", "ds"), DaemonSet),
    **dict.fromkeys(("job", "jobs"), Job),
}
MAXIMUM_EXPLAINED_PODS: Final = 3
"""Of a workload's pods, so many are explained: they are mostly alike."""
_FAILED_CREATE: Final = "FailedCreate"


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asks for."""

    target: str
    namespace: str
    output: str
    config: Path | None
    snapshot: Path | None
    data_dir: Path
    kubeconfig: Path | None


def why(request: Request) -> None:
    """Print the explanation. Raises ConfigError."""
    kind, _, name = request.target.rpartition("/")
    kind = kind.lower().partition(".")[0] or "pod"
    if not name or kind not in _KINDS:
        raise ConfigError(f"{request.target} is not pod/NAME, nor deployment/, statefulset/, daemonset/ or job/NAME")
    if request.output not in ("text", "json"):
        raise ConfigError(f"--output {request.output} is neither text nor json")
    try:
        explanation = _explained(_KINDS[kind], name, request)
    except SnapshotFileError as error:
        raise ConfigError(str(error)) from None
    typer.echo(encode(explanation).decode() if request.output == "json" else render(explanation))


def _explained(kind: type[Any], name: str, request: Request) -> Explanation:
    profiles = profiles_of(request.config)
    if request.snapshot is not None:
        snapshot = Snapshot(read_file(request.snapshot), profiles)
        namespace = request.namespace or "default"
        subject = snapshot.of(kind).get((namespace, name))
        if subject is None:
            raise ConfigError(f"{request.snapshot} has no {kind.__name__} {namespace}/{name}")
        return explain_in(snapshot, subject)
    with Administration(request.data_dir, request.kubeconfig or users_own(request.data_dir)) as cluster:
        namespace = request.namespace or cluster.config.namespace or "default"
        return cluster.run(lambda client: _asked(client, kind, name, namespace, profiles))
    raise AssertionError("unreachable")


async def _asked(
    client: Client, kind: type[Any], name: str, namespace: str, profiles: Sequence[ProfileMaker]
) -> Explanation:
    subject = await client.get(kind, name, namespace)
    if isinstance(subject, Pod) and (subject.spec.node_name or subject.metadata.deletion_timestamp is not None):
        # Its status tells: the cluster need not be read.
        return told(subject)
    refusals = await _refusals(client, subject)
    try:
        snapshot = await Snapshot.read(client, profiles)
    except ApiError as error:
        if error.code != HTTPStatus.FORBIDDEN:
            raise
        if isinstance(subject, Pod):
            return told(subject)
        pods = (await client.list(Pod, namespace)).items
        sets = (await client.list(ReplicaSet, namespace)).items
        return _of_workload(subject, sets, pods, refusals, None)
    return explain_in(snapshot, subject, refusals)


async def _refusals(client: Client, subject: Any) -> list[str]:
    """What the controller of a workload says in events about pods it could not make, the newest first."""
    if isinstance(subject, Pod | Deployment):
        return []
    meta = subject.metadata
    selector = f"involvedObject.uid={meta.uid},reason={_FAILED_CREATE}"
    events = (await client.list(core_v1.Event, meta.namespace or "", field_selector=selector)).items
    newest = sorted(events, key=lambda event: event.last_timestamp or event.event_time or "", reverse=True)
    return [event.message or "" for event in newest]


def explain_in(snapshot: Snapshot, subject: Any, refusals: Sequence[str] = ()) -> Explanation:
    """The answer for a pod or a workload of the snapshot; the snapshot is of no other use then."""
    if isinstance(subject, Pod):
        # Before the model is made: it has other pods' promised room taken.
        preempts = _preempts(snapshot, subject)
        model, schedulers = model_for(snapshot, subject), tuple(snapshot.profiles)
        if (gang := _gang(snapshot, subject)) is not None:
            explanation = explain_member(subject, gang, model, schedulers)
        else:
            explanation = explain(subject, model, schedulers)
        return replace(explanation, notes=(*explanation.notes, preempts)) if preempts else explanation
    sets, pods = snapshot.of(ReplicaSet).values(), snapshot.of(Pod).values()
    return _of_workload(subject, sets, pods, refusals, snapshot)


def _of_workload(
    subject: Any, sets: Iterable[ReplicaSet], pods: Iterable[Pod], refusals: Sequence[str], snapshot: Snapshot | None
) -> Explanation:
    """`snapshot`: None if the user may not read the cluster."""
    own_sets = [owned for owned in sets if _owner(owned) == subject.metadata.uid]
    owners = {subject.metadata.uid, *(owned.metadata.uid for owned in own_sets)}
    own = [pod for pod in pods if _owner(pod) in owners]
    troubled = sorted((pod for pod in own if workload.is_troubled(pod)), key=workload.urgency)
    explained: list[Explanation] = []
    if troubled and snapshot is None:
        explained = [told(pod) for pod in troubled[:MAXIMUM_EXPLAINED_PODS]]
    elif troubled and snapshot is not None:
        model = model_for(snapshot, troubled[0])
        explained = [explain(pod, model, tuple(snapshot.profiles)) for pod in troubled[:MAXIMUM_EXPLAINED_PODS]]
        waiting = [pod for pod in troubled if not pod.spec.node_name]
        explained[0] = replicas.count_nodes(explained[0], waiting, model)
    return workload.explain_workload(workload.describe(subject, own_sets, refusals), own, explained)


def _gang(snapshot: Snapshot, pod: Pod) -> Gang | None:
    """The pod group that the pod names, if there are such."""
    gangs = snapshot.handle.gangs
    key = gangs.group_of(pod)
    if key is None:
        return None
    pods = snapshot.of(Pod)
    members = [pods[member] for member in gangs.members(key) if member in pods]
    bound = [member for member in members if member.spec.node_name]
    short = lacking(gangs.of(key).minimum_resources, map(snapshot.info, bound), snapshot.cluster)
    return Gang(
        key.name,
        gangs.of(key).minimum or None,
        tuple(member for member in members if not member.spec.node_name),
        len(bound),
        said_of(short) if short else "",
    )


def _preempts(snapshot: Snapshot, pod: Pod) -> str:
    name = pod.spec.scheduler_name or DEFAULT_SCHEDULER_NAME
    waits = not (pod.spec.node_name or pod.spec.scheduling_gates or pod.metadata.deletion_timestamp)
    if not waits or name not in snapshot.profiles:
        return ""
    return preempting.note(snapshot.info(pod), snapshot.algorithm(name), snapshot.disruptions)


def model_for(snapshot: Snapshot, pod: Pod) -> Model:
    """The cluster as `pod` meets it. A pod of a scheduler we know nothing of is judged by the default plugins."""
    profile = snapshot.profiles.get(pod.spec.scheduler_name or DEFAULT_SCHEDULER_NAME) or default_profile()
    for other in snapshot.pending:
        # The room promised to a pod that is not less important counts as taken.
        node_name = snapshot.nominations.node_of(other.key)
        if node_name and other.uid != pod.metadata.uid and other.priority >= (pod.spec.priority or 0):
            snapshot.cluster.place(other, node_name)
    return Model(snapshot.cluster, profile, lambda one: snapshot.info(one).template)


def _owner(obj: Any) -> str:
    return next((owner.uid for owner in obj.metadata.owner_references if owner.controller), "")
