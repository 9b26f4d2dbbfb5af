"""What a pod's containers ask for, apart from the rest of the pod. Pure."""

from __future__ import annotations

from msgspec.structs import replace

from tiphys.api.types.core_v1 import Container, Pod


def resources_differ(one: Pod, other: Pod) -> bool:
    """Whether any container asks for something else."""
    return _resources(one) != _resources(other)


def _resources(pod: Pod) -> list[object]:
    return [c.resources for c in (*pod.spec.init_containers, *pod.spec.containers)]


def as_running(pod: Pod) -> Pod:
    """`pod`, its containers asking for what the status says they were given: where a resize has to start from."""
    statuses = (*pod.status.container_statuses, *pod.status.init_container_statuses)
    given = {s.name: s.resources for s in statuses if s.resources is not None}

    def kept(containers: tuple[Container, ...]) -> tuple[Container, ...]:
        return tuple(replace(c, resources=given.get(c.name, c.resources)) for c in containers)

    spec = replace(pod.spec, containers=kept(pod.spec.containers), init_containers=kept(pod.spec.init_containers))
    return replace(pod, spec=spec)


def with_resources_of(pod: Pod, other: Pod) -> Pod:
    """`pod`, its containers asking for what those of the same names in `other` ask for."""
    known = {c.name: c.resources for c in (*other.spec.init_containers, *other.spec.containers)}

    def kept(containers: tuple[Container, ...]) -> tuple[Container, ...]:
        return tuple(replace(c, resources=known.get(c.name, c.resources)) for c in containers)

    spec = replace(pod.spec, containers=kept(pod.spec.containers), init_containers=kept(pod.spec.init_containers))
    return replace(pod, spec=spec)
