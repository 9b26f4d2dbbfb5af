"""What can happen to a pod, as its lifecycle is told.

Every event is a fact: something changed in the API, in the runtime, or in an instruction's outcome. Names of containers
are those of the pod's spec; ids are the runtime's.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from tiphys.api.types.core_v1 import Pod


class ProbeKind(Enum):
    STARTUP = "Startup"
    LIVENESS = "Liveness"
    READINESS = "Readiness"


class Health(Enum):
    """What the runtime says a container is doing."""

    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Sighting:
    """One instance of a container as the runtime reports it. Times are epoch seconds, 0 when not yet."""

    name: str
    id: str
    attempt: int
    health: Health
    image: str = ""
    image_id: str = ""
    started_at: float = 0.0
    finished_at: float = 0.0
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    user: tuple[int, int, tuple[int, ...]] | None = None


@dataclass(frozen=True, slots=True)
class SandboxSighting:
    """One sandbox of the pod as the runtime reports it."""

    id: str
    attempt: int
    ready: bool
    ips: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PodChanged:
    """The API has a new version of the pod."""

    pod: Pod


@dataclass(frozen=True, slots=True)
class PodGone:
    """The API has the pod no more: whatever of it is here must go. `pod` is its last version, if known."""

    pod: Pod | None = None


@dataclass(frozen=True, slots=True)
class Tick:
    """A moment the lifecycle asked to be woken at has come."""


@dataclass(frozen=True, slots=True)
class Adopted:
    """What a previous kubelet left running; told once, before anything else."""

    sandboxes: tuple[SandboxSighting, ...]
    containers: tuple[Sighting, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """The node does not admit the pod."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Evicted:
    """The node wants the pod gone (pressure, preemption). The pod ends Failed with this reason."""

    reason: str
    message: str
    grace_seconds: int


@dataclass(frozen=True, slots=True)
class ResizePending:
    """The node cannot give what the pod asks for now; it runs on with what it has. "" for a reason: it can again."""

    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class ContainerResized:
    name: str
    id: str


@dataclass(frozen=True, slots=True)
class ResizeFailed:
    name: str
    id: str
    message: str


@dataclass(frozen=True, slots=True)
class VolumesReady:
    pass


@dataclass(frozen=True, slots=True)
class VolumesFailed:
    message: str


@dataclass(frozen=True, slots=True)
class VolumesWaiting:
    """Others have to do their part first; who hears of it calls `PodLifecycle.hurry`."""

    message: str


@dataclass(frozen=True, slots=True)
class SandboxStarted:
    sandbox: SandboxSighting


@dataclass(frozen=True, slots=True)
class SandboxFailed:
    message: str


@dataclass(frozen=True, slots=True)
class SandboxLost:
    """The sandbox died by itself; its containers with it."""

    id: str


@dataclass(frozen=True, slots=True)
class SandboxStopped:
    pass


@dataclass(frozen=True, slots=True)
class ImageReady:
    name: str
    image_ref: str


@dataclass(frozen=True, slots=True)
class ImageFailed:
    """`reason` is upstream's: ErrImagePull, ErrImageNeverPull, InvalidImageName, ImageInspectError …"""

    name: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class ContainerStarted:
    """The runtime has started it; it may have exited since."""

    sighting: Sighting


@dataclass(frozen=True, slots=True)
class ContainerRefused:
    """It could not be made or started. `sighting` is what the runtime kept of the attempt, if anything."""

    name: str
    reason: str
    message: str
    sighting: Sighting | None = None


@dataclass(frozen=True, slots=True)
class ContainerSeen:
    """The runtime was asked about a container, by the PLEG or after a stop."""

    sighting: Sighting


@dataclass(frozen=True, slots=True)
class ContainerVanished:
    """The runtime knows the container no more."""

    id: str


@dataclass(frozen=True, slots=True)
class HookFinished:
    name: str
    id: str


@dataclass(frozen=True, slots=True)
class HookFailed:
    name: str
    id: str
    message: str


@dataclass(frozen=True, slots=True)
class ProbeChanged:
    """A probe's verdict, told when it differs from the last one (thresholds already applied)."""

    name: str
    id: str
    kind: ProbeKind
    healthy: bool
    message: str = ""


@dataclass(frozen=True, slots=True)
class StopFailed:
    """The runtime could not stop a container; it will be tried again."""

    name: str
    id: str
    message: str


@dataclass(frozen=True, slots=True)
class CleanedUp:
    """Volumes, directories and cgroups of the pod are gone."""


@dataclass(frozen=True, slots=True)
class CleanUpFailed:
    message: str


Event = (
    PodChanged
    | PodGone
    | Tick
    | Adopted
    | Refused
    | Evicted
    | ResizePending
    | ContainerResized
    | ResizeFailed
    | VolumesReady
    | VolumesFailed
    | VolumesWaiting
    | SandboxStarted
    | SandboxFailed
    | SandboxLost
    | SandboxStopped
    | ImageReady
    | ImageFailed
    | ContainerStarted
    | ContainerRefused
    | ContainerSeen
    | ContainerVanished
    | HookFinished
    | HookFailed
    | ProbeChanged
    | StopFailed
    | CleanedUp
    | CleanUpFailed
)
