"""Changing what a running pod may use, without a restart where its resizePolicy allows that.

Source: the Kubernetes documentation, "Resize CPU and Memory Resources assigned to Containers".
"""

from __future__ import annotations

from tiphys.api import codec
from tiphys.api.types.core_v1 import Container, ResourceRequirements
from tiphys.kubelet.lifecycle.events import ContainerResized, ResizeFailed
from tiphys.kubelet.lifecycle.instructions import Instruction, PublishStatus, Record, ResizeContainer
from tiphys.kubelet.lifecycle.progress import condemn
from tiphys.kubelet.lifecycle.state import ContainerState, PodState, Step


def advance(state: PodState, now: float, out: list[Instruction]) -> None:
    """Resize every running container whose spec asks for something else than it has."""
    for container in state.containers.values():
        wanted = container.spec.resources
        if container.step is not Step.RUNNING or container.applied is None or not isinstance(container.spec, Container):
            continue
        if container.resizing is not None or container.condemned or container.resize_error:
            continue
        if container.applied == wanted:
            continue
        policies = {p.resource_name: p.restart_policy for p in container.spec.resize_policy}
        if any(policies.get(name) == "RestartContainer" for name in _changed(container.applied, wanted)):
            container.renew = True
            condemn(state, container, now, out, f"Container {container.name} resize requires restart")
            continue
        container.resizing = wanted
        out.append(ResizeContainer(container.name, container.id))
        out.append(PublishStatus())


def _changed(old: ResourceRequirements, new: ResourceRequirements) -> set[str]:
    names = old.limits.keys() | old.requests.keys() | new.limits.keys() | new.requests.keys()
    return {n for n in names if old.limits.get(n) != new.limits.get(n) or old.requests.get(n) != new.requests.get(n)}


def done(state: PodState, container: ContainerState, event: ContainerResized, out: list[Instruction]) -> None:
    """The instance has what was asked for."""
    if container.resizing is None or container.id != event.id:
        return
    container.applied, container.resizing, container.resize_error = container.resizing, None, ""
    what = {
        "containers": [{"name": container.name, "resources": codec.to_dict(container.applied)}],
        "generation": state.pod.metadata.generation,
    }
    out.append(Record("Normal", "ResizeCompleted", f"Pod resize completed: {codec.encode_any(what).decode()}"))
    out.append(PublishStatus(urgent=True))


def failed(container: ContainerState, event: ResizeFailed, out: list[Instruction]) -> None:
    """The instance keeps what it had; a later change of the pod tries again."""
    if container.resizing is None or container.id != event.id:
        return
    container.resizing, container.resize_error = None, event.message
    out.append(Record("Warning", "ResizeError", f"Pod resize error: {event.message}", container.name))
    out.append(PublishStatus(urgent=True))
