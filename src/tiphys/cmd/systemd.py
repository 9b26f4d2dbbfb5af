"""`tiphys systemd [component]`: units that run the components as services of a machine.

    tiphys.target            all of this machine's: what is enabled and started
    tiphys-<component>.service

Each is restarted whenever it ends. Readiness is told by the process itself (Type=notify), so that what is ordered after
the apiserver starts when it serves. The control plane's may do nothing but talk and write its own folder; what programs
the kernel keeps exactly the capabilities for that; the kubelet runs containers, and so is not confined.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tiphys.cmd import config as cluster_config
from tiphys.cmd.config import DEFAULT_DATA_DIR, ConfigError
from tiphys.cmd.supervision import groups

TARGET: Final = "tiphys.target"
Section = list[tuple[str, str]]

_PRIVATE: Final[Section] = [
    ("NoNewPrivileges", "yes"),
    ("ProtectSystem", "strict"),
    ("ProtectHome", "read-only"),
    ("PrivateTmp", "yes"),
    ("PrivateDevices", "yes"),
    ("ProtectClock", "yes"),
    ("ProtectHostname", "yes"),
    ("ProtectKernelLogs", "yes"),
    ("ProtectKernelModules", "yes"),
    ("ProtectKernelTunables", "yes"),
    ("ProtectControlGroups", "yes"),
    ("RestrictAddressFamilies", "AF_INET AF_INET6 AF_UNIX AF_NETLINK"),
    ("RestrictNamespaces", "yes"),
    ("RestrictRealtime", "yes"),
    ("RestrictSUIDSGID", "yes"),
    ("LockPersonality", "yes"),
    ("SystemCallArchitectures", "native"),
    ("SystemCallFilter", "@system-service"),
    ("SystemCallErrorNumber", "EPERM"),
    ("UMask", "0077"),
]
_KERNEL: Final[Section] = [
    ("NoNewPrivileges", "yes"),
    ("ProtectSystem", "strict"),
    ("ProtectHome", "read-only"),
    ("PrivateTmp", "yes"),
    ("ProtectClock", "yes"),
    ("ProtectHostname", "yes"),
    ("ProtectKernelLogs", "yes"),
    ("RestrictAddressFamilies", "AF_INET AF_INET6 AF_UNIX AF_NETLINK"),
    ("RestrictRealtime", "yes"),
    ("RestrictSUIDSGID", "yes"),
    ("LockPersonality", "yes"),
    ("SystemCallArchitectures", "native"),
    ("UMask", "0077"),
]
_CONTAINERS: Final[Section] = [
    # Containers and their containerd outlive a restart of the kubelet, and have cgroups of their own making.
    ("KillMode", "process"),
    ("Delegate", "yes"),
    ("TasksMax", "infinity"),
    ("LimitNOFILE", "1048576"),
    ("OOMScoreAdjust", "-999"),
]


@dataclass(frozen=True, slots=True)
class Service:
    """One component's unit. `after` are components of the same machine that must be ready first."""

    description: str
    confinement: Section
    after: tuple[str, ...] = ()
    roles: tuple[str, ...] = ("all",)
    capabilities: str = ""
    writable: tuple[str, ...] = ()


# The data directory is root's alone (0700), so the services are root's: without any capability but those named.
_PROGRAMS_KERNEL: Final = "CAP_NET_ADMIN CAP_NET_RAW"
_CONTROL: Final = ("all", "server")
_NODE: Final = ("all", "worker")
_READY: Final = ("apiserver", "balancer")
SERVICES: Final[Mapping[str, Service]] = {
    "etcd": Service("Tiphys etcd member", _PRIVATE, (), ()),
    "apiserver": Service("Tiphys apiserver", _PRIVATE, ("etcd",), _CONTROL),
    "scheduler": Service("Tiphys scheduler", _PRIVATE, ("apiserver",), _CONTROL),
    "controller-manager": Service("Tiphys controller manager", _PRIVATE, ("apiserver",), _CONTROL),
    "metrics-server": Service("Tiphys metrics server", _PRIVATE, ("apiserver",), _CONTROL),
    "pod-routes": Service("Tiphys ways to pods", _KERNEL, ("apiserver",), ("server",), _PROGRAMS_KERNEL, ("/run",)),
    "balancer": Service("Tiphys way to the apiservers", _PRIVATE, (), ("balancer",)),
    "kubelet": Service("Tiphys kubelet, with its containerd", _CONTAINERS, _READY, _NODE),
    "proxy": Service("Tiphys Service proxy", _KERNEL, _READY, _NODE, _PROGRAMS_KERNEL, ("/run",)),
    "dns": Service("Tiphys cluster DNS", _KERNEL, _READY, _NODE, "CAP_NET_BIND_SERVICE"),
}
"""In the order they start."""


def unit_name(component: str) -> str:
    return f"tiphys-{component}.service"


def components_of(role: str) -> list[str]:
    """What a machine of this role runs, in the order it starts."""
    return [name for name, service in SERVICES.items() if role in service.roles]


def service_unit(component: str, together: Iterable[str], data_dir: Path, program: str) -> str:
    """The unit of one component; `together` are the machine's components, which it may be ordered after.

    Raises ConfigError for an unknown component.
    """
    service = SERVICES.get(component)
    if service is None:
        raise ConfigError(f"no component {component!r}: one of {', '.join(SERVICES)}")
    first = [unit_name(other) for other in service.after if other in together]
    head: Section = [
        ("Description", service.description),
        ("Wants", " ".join(["network-online.target", *first])),
        ("After", " ".join(["network-online.target", *first])),
        ("PartOf", TARGET),
        ("ConditionPathExists", str(data_dir / cluster_config.CLUSTER_FILE)),
        # However often it ends, it is started again.
        ("StartLimitIntervalSec", "0"),
    ]
    body: Section = [
        ("Type", "notify"),
        ("ExecStart", f"{_quoted(program)} run {component} --data-dir {_quoted(str(data_dir))}"),
        ("Restart", "always"),
        ("RestartSec", "2"),
        ("TimeoutStartSec", "120"),
        ("TimeoutStopSec", "30"),
        ("Environment", "PYTHONDONTWRITEBYTECODE=1 GRPC_ENABLE_FORK_SUPPORT=0 GRPC_VERBOSITY=ERROR"),
        ("WorkingDirectory", "/"),
    ]
    if service.confinement is not _CONTAINERS:
        body.append(("CapabilityBoundingSet", service.capabilities))
    if ("ProtectSystem", "strict") in service.confinement:
        body.append(("ReadWritePaths", " ".join(_quoted(path) for path in (str(data_dir), *service.writable))))
    confinement = [line for line in service.confinement if line not in _hiding(data_dir)]
    return _rendered(Unit=head, Service=[*body, *confinement], Install=[("WantedBy", TARGET)])


def target_unit(components: Iterable[str]) -> str:
    """What starts and stops them together."""
    units = " ".join(unit_name(component) for component in components)
    head: Section = [("Description", "Tiphys: this machine's part of a cluster"), ("Wants", units)]
    return _rendered(Unit=head, Install=[("WantedBy", "multi-user.target")])


def units(together: Sequence[str], data_dir: Path, program: str) -> dict[str, str]:
    """File name to text, for a machine that runs these components."""
    made = {TARGET: target_unit(together)}
    return made | {unit_name(name): service_unit(name, together, data_dir, program) for name in together}


def own_program() -> str:
    """The `tiphys` that runs now, by its whole path. Raises ConfigError."""
    beside = Path(sys.executable).parent / "tiphys"
    found = str(beside) if beside.exists() else shutil.which("tiphys")
    if not found:
        raise ConfigError("the program tiphys is not found: give --program")
    return str(Path(found).absolute())


def show(component: str, data_dir: Path, role: str, program: str, output: Path | None) -> None:
    """Print the unit of `component`, or all of the machine's; or write them into the folder `output`."""
    folder = data_dir.resolve()
    together = components_of(role or "all")
    if not role and (folder / cluster_config.CLUSTER_FILE).exists():
        planned = ",".join(groups(cluster_config.load(folder)).values()).split(",")
        together = [name for name in SERVICES if name in planned]
    run = program or own_program()
    if component:
        name = component.removeprefix("tiphys-").removesuffix(".service")
        made = {unit_name(name): service_unit(name, together, folder, run)}
    else:
        made = units(together, folder, run)
    if output is None:
        sys.stdout.write("\n".join(f"# /etc/systemd/system/{name}\n{text}" for name, text in made.items()))
        return
    output.mkdir(parents=True, exist_ok=True)
    for name, text in made.items():
        (output / name).write_text(text)
    where = "" if data_dir == DEFAULT_DATA_DIR else f" (data in {folder})"
    sys.stdout.write(f"{len(made)} units in {output}{where}; start with: systemctl enable --now {TARGET}\n")


def _hiding(data_dir: Path) -> Section:
    """What would hide this data directory from its own services."""
    places = {"/tmp": ("PrivateTmp", "yes"), "/var/tmp": ("PrivateTmp", "yes")}
    places |= dict.fromkeys(("/home", "/root"), ("ProtectHome", "read-only"))
    return [line for place, line in places.items() if data_dir.is_relative_to(place)]


def _rendered(**sections: Section) -> str:
    parts = []
    for name, lines in sections.items():
        parts.append("\n".join([f"[{name}]", *(f"{key}={value}" for key, value in lines)]) + "\n")
    return "\n".join(parts)


def _quoted(text: str) -> str:
    """As unit files take it: specifiers doubled, quoted when there are spaces."""
    plain = text.replace("%", "%%")
    return f'"{plain}"' if " " in plain else plain
