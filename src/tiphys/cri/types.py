"""The values a kubelet and a container runtime exchange: immutable, typed, free of protobuf.

Names and meanings are CRI v1's. Times are integers in nanoseconds since the epoch (0: not yet), sizes are bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum

from tiphys.cri.security import (
    ContainerSecurity as ContainerSecurity,
)
from tiphys.cri.security import (
    NamespaceMode as NamespaceMode,
)
from tiphys.cri.security import (
    NamespaceOptions as NamespaceOptions,
)
from tiphys.cri.security import (
    ProfileType as ProfileType,
)
from tiphys.cri.security import (
    SandboxSecurity as SandboxSecurity,
)
from tiphys.cri.security import (
    SecurityProfile as SecurityProfile,
)
from tiphys.cri.security import (
    SELinuxOptions as SELinuxOptions,
)

Labels = Mapping[str, str]


class SandboxState(Enum):
    READY = 0
    NOT_READY = 1


class ContainerState(Enum):
    CREATED = 0
    RUNNING = 1
    EXITED = 2
    UNKNOWN = 3


class MountPropagation(IntEnum):
    PRIVATE = 0
    HOST_TO_CONTAINER = 1
    BIDIRECTIONAL = 2


class Protocol(IntEnum):
    TCP = 0
    UDP = 1
    SCTP = 2


class EventType(Enum):
    CREATED = 0
    STARTED = 1
    STOPPED = 2
    DELETED = 3


@dataclass(frozen=True, slots=True)
class Resources:
    """Linux limits of a container. Zero means: not set (except ``oom_score_adj``, which is always applied)."""

    cpu_period_microseconds: int = 0
    cpu_quota_microseconds: int = 0
    cpu_shares: int = 0
    memory_limit_bytes: int = 0
    memory_swap_limit_bytes: int = 0
    oom_score_adj: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    hugepage_limits: Mapping[str, int] = field(default_factory=dict)
    unified: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DnsConfig:
    """Becomes the containers' /etc/resolv.conf. None in a SandboxConfig keeps the node's."""

    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PortMapping:
    container_port: int
    host_port: int = 0
    protocol: Protocol = Protocol.TCP
    host_ip: str = ""


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """What a pod sandbox is made from. (name, namespace, uid, attempt) is unique in the runtime."""

    name: str
    namespace: str
    uid: str
    attempt: int = 0
    hostname: str = ""
    log_directory: str = ""
    dns: DnsConfig | None = None
    port_mappings: tuple[PortMapping, ...] = ()
    labels: Labels = field(default_factory=dict)
    annotations: Labels = field(default_factory=dict)
    cgroup_parent: str = ""
    sysctls: Labels = field(default_factory=dict)
    security: SandboxSecurity = field(default_factory=SandboxSecurity)
    overhead: Resources | None = None
    resources: Resources | None = None


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A sandbox as listed."""

    id: str
    name: str
    namespace: str
    uid: str
    attempt: int
    state: SandboxState
    created_at_nanoseconds: int
    labels: Labels = field(default_factory=dict)
    annotations: Labels = field(default_factory=dict)
    runtime_handler: str = ""


@dataclass(frozen=True, slots=True)
class SandboxStatus:
    """A sandbox with its network; ``ips`` is empty for host network and for sandboxes whose network is gone."""

    sandbox: Sandbox
    ips: tuple[str, ...] = ()
    namespaces: NamespaceOptions = field(default_factory=NamespaceOptions)
    info: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.sandbox.id

    @property
    def state(self) -> SandboxState:
        return self.sandbox.state


@dataclass(frozen=True, slots=True)
class Mount:
    container_path: str
    host_path: str
    readonly: bool = False
    selinux_relabel: bool = False
    propagation: MountPropagation = MountPropagation.PRIVATE
    recursive_read_only: bool = False


@dataclass(frozen=True, slots=True)
class Device:
    container_path: str
    host_path: str
    permissions: str = "rwm"


@dataclass(frozen=True, slots=True)
class ContainerConfig:
    """What a container is made from. ``command`` empty keeps the image's entrypoint, ``args`` empty its cmd.

    ``image`` is the image's id or reference, which must be present. ``log_path`` is relative to the sandbox's
    ``log_directory``.
    """

    name: str
    image: str
    attempt: int = 0
    user_specified_image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    envs: tuple[tuple[str, str], ...] = ()
    mounts: tuple[Mount, ...] = ()
    devices: tuple[Device, ...] = ()
    labels: Labels = field(default_factory=dict)
    annotations: Labels = field(default_factory=dict)
    log_path: str = ""
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False
    resources: Resources = Resources()
    security: ContainerSecurity = field(default_factory=ContainerSecurity)
    stop_signal: str = ""


@dataclass(frozen=True, slots=True)
class Container:
    """A container as listed."""

    id: str
    sandbox_id: str
    name: str
    attempt: int
    image: str
    image_ref: str
    state: ContainerState
    created_at_nanoseconds: int
    labels: Labels = field(default_factory=dict)
    annotations: Labels = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ContainerStatus:
    """A container with its times and end. ``reason`` is the runtime's (``Completed``, ``Error``, ``OOMKilled`` …)."""

    id: str
    name: str
    attempt: int
    state: ContainerState
    created_at_nanoseconds: int
    started_at_nanoseconds: int
    finished_at_nanoseconds: int
    exit_code: int
    image: str
    image_ref: str
    image_id: str
    reason: str
    message: str
    log_path: str
    labels: Labels = field(default_factory=dict)
    annotations: Labels = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    resources: Resources | None = None
    user: ContainerUser | None = None
    stop_signal: str = ""


@dataclass(frozen=True, slots=True)
class ContainerUser:
    uid: int
    gid: int
    supplemental_groups: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ContainerStats:
    """Use of a container since its start. None: the runtime does not say."""

    id: str
    name: str
    labels: Labels
    timestamp_nanoseconds: int
    cpu_usage_nanoseconds: int | None = None
    memory_working_set_bytes: int | None = None
    memory_usage_bytes: int | None = None
    memory_rss_bytes: int | None = None
    memory_page_faults: int | None = None
    memory_major_page_faults: int | None = None
    writable_layer_bytes: int | None = None
    writable_layer_inodes: int | None = None


@dataclass(frozen=True, slots=True)
class ExecResult:
    stdout: bytes
    stderr: bytes
    exit_code: int


@dataclass(frozen=True, slots=True)
class Image:
    """``id`` is ``sha256:…`` of the image's config. ``username`` or ``uid`` is the image's user (both empty: root)."""

    id: str
    repo_tags: tuple[str, ...] = ()
    repo_digests: tuple[str, ...] = ()
    size_bytes: int = 0
    uid: int | None = None
    username: str = ""
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class AuthConfig:
    """Credentials of one registry, for one pull."""

    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    auth: str = field(default="", repr=False)
    server_address: str = ""
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class FilesystemUsage:
    mountpoint: str
    used_bytes: int
    inodes_used: int
    timestamp_nanoseconds: int


@dataclass(frozen=True, slots=True)
class RuntimeCondition:
    type: str
    status: bool
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class RuntimeStatus:
    """Conditions ``RuntimeReady`` and ``NetworkReady``; ``handlers`` are the runtime classes' handlers it knows."""

    conditions: tuple[RuntimeCondition, ...]
    handlers: tuple[str, ...] = ()
    info: Mapping[str, str] = field(default_factory=dict)

    def condition(self, type_: str) -> RuntimeCondition | None:
        return next((c for c in self.conditions if c.type == type_), None)

    @property
    def ready(self) -> bool:
        return bool(self.conditions) and all(c.status for c in self.conditions if c.type == "RuntimeReady")

    @property
    def network_ready(self) -> bool:
        return bool(self.conditions) and all(c.status for c in self.conditions if c.type == "NetworkReady")


@dataclass(frozen=True, slots=True)
class RuntimeVersion:
    version: str
    runtime_name: str
    runtime_version: str
    runtime_api_version: str


@dataclass(frozen=True, slots=True)
class ContainerEvent:
    """Something happened to a container or sandbox (``sandbox_id`` is "" when the runtime does not say).

    An event is a hint to look: the truth is in ``container_status`` and ``list_containers``.
    """

    type: EventType
    container_id: str
    created_at_nanoseconds: int
    sandbox_id: str = ""
