"""What a pod's lifecycle asks its worker to do.

Each says which events may answer it. A worker performs them at once and concurrently; order is the lifecycle's
business: it asks for the next step only when the last one has been answered.
"""

from __future__ import annotations

from dataclasses import dataclass

from tiphys.kubelet.lifecycle.events import ProbeKind


@dataclass(frozen=True, slots=True)
class PrepareVolumes:
    """Make directories and cgroups, mount volumes. Answer: VolumesReady or VolumesFailed."""


@dataclass(frozen=True, slots=True)
class StartSandbox:
    """Answer: SandboxStarted or SandboxFailed. `replaces` is stopped and removed first ("" for none)."""

    attempt: int
    replaces: str = ""


@dataclass(frozen=True, slots=True)
class StopSandbox:
    """Give the pod's network back. Answer: SandboxStopped."""

    id: str


@dataclass(frozen=True, slots=True)
class PullImage:
    """Have the container's image present. Answer: ImageReady or ImageFailed."""

    name: str


@dataclass(frozen=True, slots=True)
class StartContainer:
    """Create and start. Answer: ContainerStarted or ContainerRefused."""

    name: str
    attempt: int
    image_ref: str
    sandbox_id: str
    sandbox_attempt: int


@dataclass(frozen=True, slots=True)
class RunPostStart:
    """Run the hook. Answer: HookFinished or HookFailed."""

    name: str
    id: str


@dataclass(frozen=True, slots=True)
class StopContainer:
    """preStop hook (within the grace), stop signal, and SIGKILL at the end of the grace. Answer: ContainerSeen."""

    name: str
    id: str
    grace_seconds: float
    pre_stop: bool


@dataclass(frozen=True, slots=True)
class ResizeContainer:
    """Give a running instance, and the pod, the limits of the spec. Answer: ContainerResized or ResizeFailed."""

    name: str
    id: str


@dataclass(frozen=True, slots=True)
class RemoveContainer:
    """Forget a dead instance nobody may ask for any more. No answer."""

    id: str


@dataclass(frozen=True, slots=True)
class StartProbe:
    """Answers: ProbeChanged, until StopProbes."""

    name: str
    id: str
    kind: ProbeKind


@dataclass(frozen=True, slots=True)
class StopProbes:
    name: str
    kinds: tuple[ProbeKind, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """Tell users by an Event about the pod, or about one of its containers when `container` is set."""

    type: str
    reason: str
    message: str
    container: str = ""


@dataclass(frozen=True, slots=True)
class PublishStatus:
    """The pod's status may read differently now; `urgent` ones are not held back to be coalesced."""

    urgent: bool = False


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Send Tick at this time (epoch seconds); replaces the last request."""

    time: float


@dataclass(frozen=True, slots=True)
class CleanUp:
    """Unmount volumes, remove cgroups and directories. Answer: CleanedUp or CleanUpFailed."""


@dataclass(frozen=True, slots=True)
class ConfirmDeletion:
    """Publish the last status, then delete the API object (grace 0, this uid). Answer: PodGone, in time."""


@dataclass(frozen=True, slots=True)
class Forget:
    """Nothing of the pod is left to do: remove its sandboxes, containers and logs, and the worker itself."""


Instruction = (
    PrepareVolumes
    | StartSandbox
    | StopSandbox
    | PullImage
    | StartContainer
    | RunPostStart
    | StopContainer
    | ResizeContainer
    | RemoveContainer
    | StartProbe
    | StopProbes
    | Record
    | PublishStatus
    | WakeAt
    | CleanUp
    | ConfirmDeletion
    | Forget
)
