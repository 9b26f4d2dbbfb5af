"""What of a Job's template may change: while it is suspended, where its pods run and what they get."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from tiphys.api.field_errors import FieldError
from tiphys.api.types.batch_v1 import Job
from tiphys.api.types.core_v1 import Affinity, Container, PodSpec, PodTemplateSpec
from tiphys.api.validation.metadata import check_immutable

_SUSPENDED: Final = "Suspended"


def check_template_update(new: Job, old: Job, errors: list[FieldError]) -> None:
    """Scheduling directives and resources may change while nothing runs; the rest never."""
    template, before = new.spec.template, old.spec.template
    if template == before:
        return
    suspended = bool(old.spec.suspend)
    idle = suspended and (old.status.start_time is None or _has_stopped(old))
    if idle:
        before = _with_directives(before, template)
        before = replace(before, spec=_with_resources(before.spec, template.spec))
    if idle:
        check_immutable(template.spec, before.spec, "spec.template.spec", errors)
    else:
        check_immutable(template, before, "spec.template", errors)


def _has_stopped(job: Job) -> bool:
    """Whether the controller saw the suspension: no pod of the Job is left."""
    conditions = job.status.conditions
    return not job.status.active and any(c.type == _SUSPENDED and c.status == "True" for c in conditions)


def _with_directives(old: PodTemplateSpec, new: PodTemplateSpec) -> PodTemplateSpec:
    spec = replace(
        old.spec,
        node_selector=new.spec.node_selector,
        tolerations=new.spec.tolerations,
        scheduling_gates=new.spec.scheduling_gates,
        affinity=_with_node_affinity(old.spec.affinity, new.spec.affinity),
    )
    meta = replace(old.metadata, labels=new.metadata.labels, annotations=new.metadata.annotations)
    return replace(old, spec=spec, metadata=meta)


def _with_node_affinity(old: Affinity | None, new: Affinity | None) -> Affinity | None:
    """Nodes may be chosen anew, not the pods to be near to."""
    if new is None:
        if old is None or (old.pod_affinity is None and old.pod_anti_affinity is None):
            return None
        return replace(old, node_affinity=None)
    return replace(old or Affinity(), node_affinity=new.node_affinity)


def _with_resources(old: PodSpec, new: PodSpec) -> PodSpec:
    return replace(
        old,
        containers=_each_with_resources(old.containers, new.containers),
        init_containers=_each_with_resources(old.init_containers, new.init_containers),
    )


def _each_with_resources(old: tuple[Container, ...], new: tuple[Container, ...]) -> tuple[Container, ...]:
    if len(old) != len(new):
        return old
    return tuple(
        replace(before, resources=after.resources) if before.name == after.name else before
        for before, after in zip(old, new, strict=True)
    )
