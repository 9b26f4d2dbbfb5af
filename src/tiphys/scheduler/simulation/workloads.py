"""The pods of workloads, as the controllers would make them; their names end in numbers, not in random letters."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from msgspec.structs import replace

from tiphys.api import codec
from tiphys.api.types.apps_v1 import Deployment, ReplicaSet, ReplicaSetSpec, StatefulSet
from tiphys.api.types.batch_v1 import CronJob, Job
from tiphys.api.types.core_v1 import (
    PersistentVolumeClaim,
    PersistentVolumeClaimVolumeSource,
    Pod,
    PodTemplateSpec,
    ReplicationController,
    Volume,
)
from tiphys.api.types.meta_v1 import LabelSelector, ObjectMeta
from tiphys.client.ownership import controller_ref
from tiphys.scheduler.simulation.admitted import admitted
from tiphys.scheduler.simulation.changes import ChangeError
from tiphys.scheduler.simulation.device_claims import with_device_claims
from tiphys.scheduler.simulation.outcome import Cause
from tiphys.scheduler.simulation.world import World

HASH_LABEL: Final = "pod-template-hash"
_POD_NAME_LABEL: Final = "statefulset.kubernetes.io/pod-name"
_POD_INDEX_LABEL: Final = "apps.kubernetes.io/pod-index"


def create_pods(world: World, workload: Any, count: int, cause: Cause) -> None:
    """`count` more pods of a workload that is in the world (a CronJob: of one run). Raises ChangeError."""
    for pod in _MAKERS[type(workload)](world, workload, count):
        create(world, pod, cause)


def create(world: World, pod: Pod, cause: Cause) -> None:
    """The pod, as admitted, exists from now on, and so do the claims that are made with it."""
    for claim in _own_claims(pod):
        create_claim(world, claim)
    world.admit(with_device_claims(world, pod), cause)


def makes_pods(kind: type[Any]) -> bool:
    """Whether `create_pods` is for workloads of that kind. A DaemonSet's pods are those of its nodes."""
    return kind in _MAKERS


def replicas(workload: Any) -> int:
    """How many pods it wants at a time."""
    if isinstance(workload, CronJob):
        return replicas(Job(spec=workload.spec.job_template.spec))
    if isinstance(workload, Job):
        if workload.spec.suspend:
            return 0
        parallelism = 1 if workload.spec.parallelism is None else workload.spec.parallelism
        completions = workload.spec.completions
        return parallelism if completions is None else min(parallelism, completions)
    return 1 if workload.spec.replicas is None else int(workload.spec.replicas)


def scaled(workload: Any, count: int) -> Any:
    """The workload, wanting `count` pods. Raises ChangeError if it is of a kind that is not scaled."""
    if isinstance(workload, Job):
        return replace(workload, spec=replace(workload.spec, parallelism=count))
    if isinstance(workload, (Deployment, ReplicaSet, StatefulSet, ReplicationController)):
        return replace(workload, spec=replace(workload.spec, replicas=count))
    raise ChangeError(f"a {workload.kind} cannot be scaled")


def replica_sets(world: World, deployment: Deployment) -> list[ReplicaSet]:
    """A Deployment's, the newest last."""
    uid = deployment.metadata.uid
    owned = [
        found
        for found in world.snapshot.of(ReplicaSet).values()
        if any(ref.controller and ref.uid == uid for ref in found.metadata.owner_references)
    ]
    return sorted(owned, key=lambda rs: int(rs.metadata.annotations.get("deployment.kubernetes.io/revision", "0")))


def create_claim(world: World, claim: PersistentVolumeClaim) -> None:
    """The claim exists from now on, if it did not."""
    key = (claim.metadata.namespace or "default", claim.metadata.name or "")
    if key not in world.snapshot.of(PersistentVolumeClaim):
        world.put(admitted(world, claim))


def _of_deployment(world: World, deployment: Deployment, count: int) -> Iterator[Pod]:
    known = replica_sets(world, deployment)
    if not known:
        known = [_replica_set(world, deployment)]
        world.put(known[0])
    yield from _numbered(world, known[-1], known[-1].spec.template, count)


def _replica_set(world: World, deployment: Deployment) -> ReplicaSet:
    template = deployment.spec.template or PodTemplateSpec()
    mark = {HASH_LABEL: hashlib.blake2b(codec.encode(template), digest_size=4).hexdigest()}
    labels = template.metadata.labels | mark
    selector = deployment.spec.selector or LabelSelector()
    spec = ReplicaSetSpec(
        replicas=replicas(deployment),
        selector=replace(selector, match_labels=selector.match_labels | mark),
        template=replace(template, metadata=replace(template.metadata, labels=labels)),
    )
    meta = ObjectMeta(
        name=f"{deployment.metadata.name}-{mark[HASH_LABEL]}",
        namespace=deployment.metadata.namespace,
        uid=world.uid(),
        labels=labels,
        owner_references=(controller_ref(deployment),),
    )
    return ReplicaSet(metadata=meta, spec=spec)


def _of_replicas(world: World, owner: ReplicaSet | ReplicationController, count: int) -> Iterator[Pod]:
    yield from _numbered(world, owner, owner.spec.template, count)


def _of_stateful_set(world: World, owner: StatefulSet, count: int) -> Iterator[Pod]:
    first = (owner.spec.ordinals.start or 0) if owner.spec.ordinals else 0
    there = {info.key[1] for info in world.owned_by((owner.metadata.uid or "",))}
    free = (n for n in range(first, first + len(there) + count) if f"{owner.metadata.name}-{n}" not in there)
    for ordinal in (number for number, _ in zip(free, range(count), strict=False)):
        name = f"{owner.metadata.name}-{ordinal}"
        marks = {_POD_NAME_LABEL: name, _POD_INDEX_LABEL: str(ordinal)}
        claims: dict[str, str] = {}
        for template in owner.spec.volume_claim_templates:
            claims[template.metadata.name or ""] = own = f"{template.metadata.name}-{name}"
            meta = replace(template.metadata, name=own, namespace=owner.metadata.namespace)
            create_claim(world, replace(template, metadata=meta))
        pod = _pod(owner, owner.spec.template, name, marks)
        volumes = tuple(
            Volume(name=volume, persistent_volume_claim=PersistentVolumeClaimVolumeSource(claim_name=claim))
            for volume, claim in claims.items()
        )
        others = tuple(volume for volume in pod.spec.volumes if volume.name not in claims)
        yield admitted(world, replace(pod, spec=replace(pod.spec, volumes=(*volumes, *others))))


def _of_job(world: World, owner: Job, count: int) -> Iterator[Pod]:
    yield from _numbered(world, owner, owner.spec.template, count)


def _of_cron_job(world: World, owner: CronJob, count: int) -> Iterator[Pod]:
    spec = owner.spec.job_template.spec
    meta = replace(owner.spec.job_template.metadata, name=f"{owner.metadata.name}-1", uid=world.uid())
    meta = replace(meta, namespace=owner.metadata.namespace, owner_references=(controller_ref(owner),))
    job = Job(metadata=meta, spec=spec)
    world.put(job)
    yield from _of_job(world, job, count)


def _numbered(world: World, owner: Any, template: PodTemplateSpec | None, count: int) -> Iterator[Pod]:
    taken = {info.key for info in world.pods()}
    model = admitted(world, _pod(owner, template or PodTemplateSpec(), ""))
    number = 0
    for _ in range(count):
        number += 1
        while (owner.metadata.namespace or "", name := f"{owner.metadata.name}-{number}") in taken:
            number += 1
        yield replace(model, metadata=replace(model.metadata, name=name, uid=world.uid()))


def _pod(owner: Any, template: PodTemplateSpec, name: str, marks: Mapping[str, str] | None = None) -> Pod:
    meta = ObjectMeta(
        name=name,
        namespace=owner.metadata.namespace,
        labels={**template.metadata.labels, **(marks or {})},
        annotations=dict(template.metadata.annotations),
        owner_references=(controller_ref(owner),),
    )
    return Pod(metadata=meta, spec=template.spec)


def _own_claims(pod: Pod) -> Iterator[PersistentVolumeClaim]:
    """The claims of its generic ephemeral volumes."""
    for volume in pod.spec.volumes:
        if volume.ephemeral is not None and volume.ephemeral.volume_claim_template is not None:
            template = volume.ephemeral.volume_claim_template
            name = f"{pod.metadata.name}-{volume.name}"
            owner = controller_ref(pod)
            meta = replace(template.metadata, name=name, namespace=pod.metadata.namespace, owner_references=(owner,))
            yield PersistentVolumeClaim(metadata=meta, spec=template.spec)


_MAKERS: Final[dict[type[Any], Callable[[World, Any, int], Iterator[Pod]]]] = {
    Deployment: _of_deployment,
    ReplicaSet: _of_replicas,
    ReplicationController: _of_replicas,
    StatefulSet: _of_stateful_set,
    Job: _of_job,
    CronJob: _of_cron_job,
}
