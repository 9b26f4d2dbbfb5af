"""ControllerRevisions: the templates that DaemonSets and StatefulSets have had, numbered. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec

from tiphys.api import codec
from tiphys.api.types.apps_v1 import ControllerRevision
from tiphys.api.types.core_v1 import PodTemplateSpec
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.client.ownership import controller_ref
from tiphys.controllers.hashing import short_hash

HASH_LABEL: Final = "controller-revision-hash"
"""On pods: which revision's template they are made from."""


def data_of(template: PodTemplateSpec) -> dict[str, Any]:
    """What a revision keeps: the patch that sets the template (``kubectl rollout undo`` sends it)."""
    return {"spec": {"template": {**codec.to_dict(template), "$patch": "replace"}}}


def template_of(revision: ControllerRevision) -> PodTemplateSpec:
    """The template a revision keeps."""
    data = revision.data if isinstance(revision.data, dict) else {}
    return codec.from_dict(PodTemplateSpec, data.get("spec", {}).get("template", {}))


def ordered(revisions: Sequence[ControllerRevision]) -> list[ControllerRevision]:
    """By number, then age, then name."""
    return sorted(revisions, key=lambda r: (r.revision, r.metadata.creation_timestamp or "", r.metadata.name or ""))


def made(
    owner: Any,
    template: PodTemplateSpec,
    number: int,
    hash_label: str,
    labels: dict[str, str],
    collision_count: int | None,
) -> ControllerRevision:
    """A new revision of `owner`'s template; its name ends in a hash of the template, which `hash_label` carries."""
    data = data_of(template)
    digest = short_hash(data, collision_count)
    meta = ObjectMeta(
        name=f"{owner.metadata.name}-{digest}",
        namespace=owner.metadata.namespace,
        labels={**labels, hash_label: digest},
        annotations=dict(owner.metadata.annotations),
        owner_references=(controller_ref(owner),),
    )
    return ControllerRevision(metadata=meta, data=data, revision=number)


def equal(revision: ControllerRevision, template: PodTemplateSpec) -> bool:
    """Whether the revision keeps this template."""
    return template_of(revision) == template


def next_number(revisions: Sequence[ControllerRevision]) -> int:
    """One more than the newest."""
    return max((r.revision for r in revisions), default=0) + 1


def renumbered(revision: ControllerRevision, number: int) -> ControllerRevision:
    """The revision as the newest again, after a rollback to it."""
    return msgspec.structs.replace(revision, revision=number)


def surplus(
    revisions: Sequence[ControllerRevision], live: Collection[str], limit: int | None
) -> list[ControllerRevision]:
    """The oldest revisions over `limit` that no pod uses; `live` are the names of those in use."""
    unused = [r for r in ordered(revisions) if r.metadata.name not in live]
    keep = 10 if limit is None else limit
    return unused[: max(0, len(unused) - keep)]
