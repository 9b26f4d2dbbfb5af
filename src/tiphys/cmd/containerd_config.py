"""The configuration of a cluster's own containerd, fitted to the host it runs on.

Everything it keeps lies under one folder, so that neither the host's Docker nor its containerd notices it.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

CAP_SYS_RESOURCE = 24
CNI_BIN_DIR = Path("/usr/lib/cni")
UNIX_SOCKET_PATH_LIMIT_BYTES = 107
# Snapshotters of file systems that are not looked for, and tracing that is not collected.
UNUSED_PLUGINS = (
    "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.zfs",
    "io.containerd.internal.v1.tracing",
    "io.containerd.tracing.processor.v1.otlp",
)


def short_name(data_dir: Path) -> str:
    """Eight hex digits that tell apart what two clusters on one host make (as ``ClusterConfig.cluster_id``)."""
    return hashlib.sha256(str(data_dir).encode()).hexdigest()[:8]


@dataclass(frozen=True, slots=True)
class ContainerdPaths:
    """Where a cluster's containerd keeps its things; all of it under ``<data-dir>``."""

    data_dir: Path

    @property
    def home(self) -> Path:
        return self.data_dir / "containerd"

    @property
    def socket(self) -> Path:
        return self.home / "containerd.sock"

    @property
    def config(self) -> Path:
        return self.home / "config.toml"

    @property
    def root(self) -> Path:
        return self.home / "root"

    @property
    def state(self) -> Path:
        return self.home / "state"

    @property
    def log(self) -> Path:
        return self.home / "containerd.log"

    @property
    def pid_file(self) -> Path:
        return self.home / "containerd.pid"

    @property
    def cni_conf_dir(self) -> Path:
        return self.data_dir / "cni" / "net.d"

    @property
    def registry_dir(self) -> Path:
        """One folder per registry host with a ``hosts.toml``, as containerd documents."""
        return self.data_dir / "registries"

    @property
    def cgroup_root(self) -> str:
        """The parent of all pods' cgroups, in every hierarchy; what is under it is the cluster's alone."""
        return f"/tiphys-{short_name(self.data_dir)}"

    def check(self) -> None:
        """Raises ValueError when the kernel could not bind sockets this deep."""
        longest = os.fsencode(f"{self.socket.resolve()}.ttrpc")
        if len(longest) > UNIX_SOCKET_PATH_LIMIT_BYTES:
            raise ValueError(f"--data-dir {self.data_dir} is too long: {os.fsdecode(longest)} is no valid socket path")


def lacks_capability(number: int, status: str | None = None) -> bool:
    """Whether this process is without a capability (``status``: the text of /proc/self/status)."""
    text = Path("/proc/self/status").read_text() if status is None else status
    effective = next((line.split()[1] for line in text.splitlines() if line.startswith("CapEff:")), "0")
    return not int(effective, 16) >> number & 1


def probe_snapshotter(folder: Path) -> str:
    """``overlayfs`` where an overlay can be mounted on that file system, else ``native`` (plain copies)."""
    probe = folder / "overlay-probe"
    parts = {name: probe / name for name in ("lower", "upper", "work", "merged")}
    for part in parts.values():
        part.mkdir(parents=True, exist_ok=True)
    options = f"lowerdir={parts['lower']},upperdir={parts['upper']},workdir={parts['work']}"
    try:
        mounted = _succeeds(["mount", "-t", "overlay", "overlay", "-o", options, str(parts["merged"])])
        if mounted:
            _succeeds(["umount", str(parts["merged"])])
        return "overlayfs" if mounted else "native"
    finally:
        _succeeds(["rm", "-rf", "--one-file-system", str(probe)])


def _succeeds(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def render(
    paths: ContainerdPaths,
    *,
    sandbox_image: str,
    snapshotter: str,
    restrict_oom_score_adj: bool,
    cni_bin_dir: Path = CNI_BIN_DIR,
) -> str:
    """config.toml, version 2 of its format. JSON's strings, booleans and lists are TOML's too."""
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    tables: list[tuple[str, dict[str, object]]] = [
        (
            "",
            {
                "version": 2,
                "root": str(paths.root),
                "state": str(paths.state),
                "disabled_plugins": list(UNUSED_PLUGINS),
            },
        ),
        ("grpc", {"address": str(paths.socket)}),
        ('plugins."io.containerd.internal.v1.opt"', {"path": str(paths.home / "opt")}),
        (
            cri,
            {
                "sandbox_image": sandbox_image,
                "stream_server_address": "127.0.0.1",
                "stream_server_port": "0",
                "restrict_oom_score_adj": restrict_oom_score_adj,
                "netns_mounts_under_state_dir": True,
                "stats_collect_period": 60,
                "disable_hugetlb_controller": True,
                "tolerate_missing_hugetlb_controller": True,
            },
        ),
        (f"{cri}.containerd", {"snapshotter": snapshotter, "default_runtime_name": "runc"}),
        (f"{cri}.containerd.runtimes.runc", {"runtime_type": "io.containerd.runc.v2"}),
        (
            f"{cri}.containerd.runtimes.runc.options",
            {"BinaryName": "runc", "Root": str(paths.state / "runc"), "SystemdCgroup": False},
        ),
        (f"{cri}.cni", {"bin_dir": str(cni_bin_dir), "conf_dir": str(paths.cni_conf_dir)}),
        (f"{cri}.registry", {"config_path": str(paths.registry_dir)}),
    ]
    lines: list[str] = []
    for name, values in tables:
        lines += [f"[{name}]"] if name else []
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
        lines.append("")
    return "\n".join(lines)
