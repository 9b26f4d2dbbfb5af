"""What a pod's lifecycle remembers.

The pod:

    SETTING_UP ──volumes, sandbox──> ACTIVE ──deleted, evicted, deadline, all done──> TERMINATING
                                       │ ^                                                 │ containers gone
                     sandbox lost ─────┘ └── new sandbox                                   v
    REFUSED <── not admitted                                     FORGOTTEN <── API ── TERMINATED (sandbox, clean-up)

A container:

    WAITING ──> PULLING ──> STARTING ──> RUNNING ──────────────> EXITED
      ^  ^         │            │           │ kill                 ^ │
      │  └─failed──┘            └──refused──┼──────────────────────┘ │
      │                                     └──> STOPPING ──exit─────┤
      └────────────────────── restart, when its back-off is over ────┘
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from tiphys.api.types.core_v1 import Container, EphemeralContainer, Pod, PodCondition, ResourceRequirements

AnyContainer = Container | EphemeralContainer


class Stage(Enum):
    """Where the pod is; see the module's drawing."""

    SETTING_UP = "setting up"
    ACTIVE = "active"
    REFUSED = "refused"
    TERMINATING = "terminating"
    TERMINATED = "terminated"
    FORGOTTEN = "forgotten"


class Step(Enum):
    """Where a container is; see the module's drawing."""

    WAITING = "waiting"
    PULLING = "pulling"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    EXITED = "exited"


class Role(Enum):
    """INIT runs to completion before the next; SIDECAR is an init container that stays; EPHEMERAL never restarts."""

    INIT = "init"
    SIDECAR = "sidecar"
    MAIN = "main"
    EPHEMERAL = "ephemeral"


@dataclass(slots=True)
class Exit:
    """How an instance ended. Times are epoch seconds; `reason` is the runtime's or upstream's."""

    id: str
    code: int
    reason: str
    message: str
    started_at: float
    finished_at: float


@dataclass(slots=True)
class ContainerState:
    """One container of the pod."""

    spec: AnyContainer
    role: Role
    step: Step = Step.WAITING
    id: str = ""
    """The current instance in the runtime; "" before the first start. Kept after exit, for logs."""
    attempt: int = 0
    """Number of the current instance (of the next one while `id` is ""); its restart count."""
    image_ref: str = ""
    """What the runtime calls the image, once present; cleared when it has to be looked at again."""
    image: str = ""
    image_id: str = ""
    started_at: float = 0.0
    user: tuple[int, int, tuple[int, ...]] | None = None
    hooked: bool = False
    """The postStart hook of the current instance has finished (or there is none)."""
    started: bool = False
    """RUNNING, hooked, and the startup probe has succeeded (or there is none)."""
    passing: bool = False
    """The readiness probe's verdict; True from `started` on when there is none."""
    exit: Exit | None = None
    """Set exactly when step is EXITED."""
    last_exit: Exit | None = None
    """The instance before the current one."""
    waiting_reason: str = ""
    waiting_message: str = ""
    """Shown while nothing runs; "" shows the ordinary ContainerCreating or PodInitializing."""
    retry_at: float = 0.0
    """Not before this time: a failed pull, a refused start or a crash is tried again."""
    flip_at: float = 0.0
    """When ErrImagePull becomes ImagePullBackOff; 0 for never."""
    pull_backoff_seconds: float = 0.0
    crash_backoff_seconds: float = 0.0
    crash_backoff_set_at: float = 0.0
    crash_announced: bool = False
    """The BackOff event of the current wait has been recorded."""
    condemned: str = ""
    """Why the current instance must go while the pod lives (a failed probe or hook, a new image); "" for no reason."""
    renew: bool = False
    """Starts again after this exit whatever its restart policy: its definition has changed."""
    stop_by: float = 0.0
    """STOPPING: when the grace given to it ends."""
    starting: ResourceRequirements | None = None
    """What the instance being started was given."""
    applied: ResourceRequirements | None = None
    """What the running instance may use; differs from the spec's while a resize is under way. None when none runs."""
    resizing: ResourceRequirements | None = None
    """What ResizeContainer was asked for and has not been answered."""
    resize_error: str = ""
    """Why the last resize failed; "" when it did not."""
    dead_ids: list[str] = field(default_factory=list)
    """Instances before the current one that the runtime still keeps, oldest first."""
    probing: set[str] = field(default_factory=set)
    """Values of the ProbeKinds asked for, for the current instance."""

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def alive(self) -> bool:
        """An instance exists or may exist in the runtime."""
        return self.step in (Step.STARTING, Step.RUNNING, Step.STOPPING)

    @property
    def ready(self) -> bool:
        """Whether it serves; an instance that was asked to stop does until it is gone, or its probe says otherwise."""
        return self.step in (Step.RUNNING, Step.STOPPING) and self.started and self.passing


@dataclass(slots=True)
class SandboxState:
    id: str
    attempt: int
    ips: tuple[str, ...]


class SandboxStep(Enum):
    NONE = "none"
    STARTING = "starting"
    READY = "ready"
    LOST = "lost"
    STOPPING = "stopping"
    STOPPED = "stopped"


class VolumeStep(Enum):
    NONE = "none"
    PREPARING = "preparing"
    READY = "ready"
    CLEANING = "cleaning"
    CLEAN = "clean"


@dataclass(slots=True)
class Ending:
    """Why and how the pod ends."""

    reason: str = ""
    message: str = ""
    failed: bool = False
    """The pod's phase becomes Failed whatever its containers' exit codes (eviction, deadline)."""
    disruption: bool = False
    """The node ended it: the DisruptionTarget condition says so."""


@dataclass(slots=True)
class PodState:
    """Everything one pod's lifecycle knows. Only the lifecycle's modules change it."""

    pod: Pod
    containers: dict[str, ContainerState]
    """By name, in the order: init containers and sidecars as in the spec, main ones, ephemeral ones."""
    stage: Stage = Stage.SETTING_UP
    volumes: VolumeStep = VolumeStep.NONE
    volumes_retry_at: float = 0.0
    volumes_backoff_seconds: float = 0.0
    volumes_waiting_since: float = 0.0
    """Since when others (who attach volumes) are waited for, or were last complained about; 0.0 for not."""
    sandbox_step: SandboxStep = SandboxStep.NONE
    sandbox: SandboxState | None = None
    """The newest sandbox; set in every sandbox step but NONE (and STARTING for the first time)."""
    next_sandbox_attempt: int = 0
    sandbox_retry_at: float = 0.0
    sandbox_backoff_seconds: float = 0.0
    cleanup_retry_at: float = 0.0
    initialized: bool = False
    """Init containers have all completed in this sandbox; only sidecars among them may start again."""
    start_time: float = 0.0
    """When the kubelet first saw the pod; epoch seconds. Survives restarts through the API's status."""
    ending: Ending | None = None
    """Set from TERMINATING on."""
    kill_deadline: float = 0.0
    """TERMINATING: when every container must be dead; a later request can only bring it forward."""
    gone: bool = False
    """The API has no such pod any more."""
    confirmed: bool = False
    """ConfirmDeletion has been asked for."""
    refusal: tuple[str, str] | None = None
    """(reason, message) when REFUSED."""
    conditions: dict[str, PodCondition] = field(default_factory=dict)
    """By type, as last published by the kubelet: transition times are kept from here."""
    resize_pending: tuple[str, str] | None = None
    """(reason, message) while the node cannot give what the pod asks for."""
    wake_at: float = 0.0
    """The time last asked for by WakeAt; 0 for none."""

    def by_role(self, *roles: Role) -> list[ContainerState]:
        return [c for c in self.containers.values() if c.role in roles]

    @property
    def restart_policy(self) -> str:
        return self.pod.spec.restart_policy or "Always"

    @property
    def deleted(self) -> bool:
        return self.gone or self.pod.metadata.deletion_timestamp is not None


def role_of_init(spec: Container) -> Role:
    return Role.SIDECAR if spec.restart_policy == "Always" else Role.INIT


def containers_of(pod: Pod) -> dict[str, ContainerState]:
    """Fresh states for every container of the pod's spec, in the order of `PodState.containers`."""
    states: dict[str, ContainerState] = {}
    for init in pod.spec.init_containers:
        states[init.name] = ContainerState(init, role_of_init(init))
    for main in pod.spec.containers:
        states[main.name] = ContainerState(main, Role.MAIN)
    for ephemeral in pod.spec.ephemeral_containers:
        states[ephemeral.name] = ContainerState(ephemeral, Role.EPHEMERAL)
    return states
