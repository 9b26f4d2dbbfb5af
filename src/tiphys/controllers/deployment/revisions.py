"""ReplicaSets as revisions of a Deployment: which is the template's, what they are called and annotated. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from tiphys.api.types.apps_v1 import Deployment, ReplicaSet, ReplicaSetSpec
from tiphys.api.types.core_v1 import PodTemplateSpec
from tiphys.api.types.meta_v1 import LabelSelector, ObjectMeta
from tiphys.client.ownership import controller_ref
from tiphys.controllers.hashing import short_hash
from tiphys.controllers.scaling import fenceposts

REVISION: Final = "deployment.kubernetes.io/revision"
REVISION_HISTORY: Final = "deployment.kubernetes.io/revision-history"
DESIRED_REPLICAS: Final = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS: Final = "deployment.kubernetes.io/max-replicas"
TEMPLATE_HASH: Final = "pod-template-hash"
_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
_NOT_COPIED: Final = frozenset(
    (_LAST_APPLIED, REVISION, REVISION_HISTORY, DESIRED_REPLICAS, MAX_REPLICAS, "deprecated.deployment.rollback.to")
)
_MAX_HISTORY_CHARS: Final = 2000


def replicas_of(replica_set: ReplicaSet) -> int:
    """``spec.replicas``, defaulted."""
    return 1 if replica_set.spec.replicas is None else replica_set.spec.replicas


def desired_of(deployment: Deployment) -> int:
    """``spec.replicas``, defaulted."""
    return 1 if deployment.spec.replicas is None else deployment.spec.replicas


def is_rolling(deployment: Deployment) -> bool:
    """Whether the strategy is RollingUpdate (the default)."""
    return deployment.spec.strategy.type != "Recreate"


def surge_and_unavailable(deployment: Deployment) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) in pods; (0, 0) for Recreate, and no more unavailable than there are replicas."""
    desired = desired_of(deployment)
    if not is_rolling(deployment):
        return 0, 0
    rolling = deployment.spec.strategy.rolling_update
    surge, unavailable = fenceposts(
        rolling.max_surge if rolling else "25%", rolling.max_unavailable if rolling else "25%", desired
    )
    return surge, min(unavailable, desired)


def without_hash(template: PodTemplateSpec) -> PodTemplateSpec:
    """The template without the label that tells ReplicaSets apart."""
    labels = template.metadata.labels
    if TEMPLATE_HASH not in labels:
        return template
    rest = {key: value for key, value in labels.items() if key != TEMPLATE_HASH}
    return msgspec.structs.replace(template, metadata=msgspec.structs.replace(template.metadata, labels=rest))


def age_key(replica_set: ReplicaSet) -> tuple[str, str]:
    """Sorts by creation, then name."""
    return replica_set.metadata.creation_timestamp or "", replica_set.metadata.name or ""


def find_new(deployment: Deployment, replica_sets: Sequence[ReplicaSet]) -> ReplicaSet | None:
    """The oldest ReplicaSet with the Deployment's template, or None."""
    wanted = without_hash(deployment.spec.template)
    for replica_set in sorted(replica_sets, key=age_key):
        if without_hash(replica_set.spec.template) == wanted:
            return replica_set
    return None


def revision_of(replica_set: ReplicaSet) -> int:
    """The revision annotation; 0 if there is none or a malformed one."""
    text = replica_set.metadata.annotations.get(REVISION, "")
    return int(text) if text.isdigit() else 0


def newest_revision(replica_sets: Sequence[ReplicaSet]) -> int:
    """The highest revision; 0 of none."""
    return max((revision_of(replica_set) for replica_set in replica_sets), default=0)


def bounds(deployment: Deployment) -> dict[str, str]:
    """The annotations that say what a ReplicaSet was last scaled for."""
    desired = desired_of(deployment)
    return {DESIRED_REPLICAS: str(desired), MAX_REPLICAS: str(desired + surge_and_unavailable(deployment)[0])}


def copied_annotations(deployment: Deployment) -> dict[str, str]:
    """The Deployment's annotations that its ReplicaSets carry too."""
    return {key: value for key, value in deployment.metadata.annotations.items() if key not in _NOT_COPIED}


def made(deployment: Deployment, revision: int, replicas: int) -> ReplicaSet:
    """A new ReplicaSet for the Deployment's template."""
    template = deployment.spec.template
    digest = short_hash(without_hash(template), deployment.status.collision_count)
    labels = {**template.metadata.labels, TEMPLATE_HASH: digest}
    selector = deployment.spec.selector
    annotations = {**copied_annotations(deployment), REVISION: str(revision), **bounds(deployment)}
    return ReplicaSet(
        metadata=ObjectMeta(
            name=f"{deployment.metadata.name}-{digest}",
            namespace=deployment.metadata.namespace,
            labels=labels,
            annotations=annotations,
            owner_references=(controller_ref(deployment),),
        ),
        spec=ReplicaSetSpec(
            replicas=replicas,
            min_ready_seconds=deployment.spec.min_ready_seconds,
            selector=LabelSelector(
                match_labels={**selector.match_labels, TEMPLATE_HASH: digest},
                match_expressions=selector.match_expressions,
            ),
            template=msgspec.structs.replace(
                template, metadata=msgspec.structs.replace(template.metadata, labels=labels)
            ),
        ),
    )


def brought_up(deployment: Deployment, replica_set: ReplicaSet, revision: int) -> ReplicaSet:
    """The new ReplicaSet with the annotations, revision and minReadySeconds it should have; itself if it has them."""
    annotations = {**replica_set.metadata.annotations, **copied_annotations(deployment)}
    old = revision_of(replica_set)
    if old < revision:
        if old:
            annotations[REVISION_HISTORY] = _with_history(annotations.get(REVISION_HISTORY, ""), str(old))
        annotations[REVISION] = str(revision)
    if DESIRED_REPLICAS not in annotations:
        annotations.update(bounds(deployment))
    seconds = deployment.spec.min_ready_seconds or 0
    same = annotations == replica_set.metadata.annotations
    if same and (replica_set.spec.min_ready_seconds or 0) == seconds:
        return replica_set
    return msgspec.structs.replace(
        replica_set,
        metadata=msgspec.structs.replace(replica_set.metadata, annotations=annotations),
        spec=msgspec.structs.replace(replica_set.spec, min_ready_seconds=seconds or None),
    )


def _with_history(history: str, revision: str) -> str:
    revisions = [*(part for part in history.split(",") if part), revision]
    while len(",".join(revisions)) > _MAX_HISTORY_CHARS:
        revisions.pop(0)
    return ",".join(revisions)


def scaled(deployment: Deployment, replica_set: ReplicaSet, replicas: int) -> ReplicaSet:
    """The ReplicaSet at `replicas`, annotated with what that was for; itself if nothing differs."""
    annotations = {**replica_set.metadata.annotations, **bounds(deployment)}
    if replicas == replicas_of(replica_set) and annotations == replica_set.metadata.annotations:
        return replica_set
    return msgspec.structs.replace(
        replica_set,
        metadata=msgspec.structs.replace(replica_set.metadata, annotations=annotations),
        spec=msgspec.structs.replace(replica_set.spec, replicas=replicas),
    )
