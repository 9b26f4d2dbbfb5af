"""A host's processes and what they leave: found, killed, cleared away. Nothing here asks anyone's consent."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Final

from tiphys.cmd import supervision
from tiphys.cmd.config import ClusterConfig, ConfigError
from tiphys.cmd.containerd_config import ContainerdPaths, short_name
from tiphys.cmd.containerd_remains import cgroup_folders, cgroup_pids, mounts_below, remove_remains, unmount_below
from tiphys.cmd.hosts import underlay
from tiphys.cmd.hosts.plan import Host, Hosts
from tiphys.cmd.hosts.record import directory
from tiphys.network.node import CNI_RESULTS

_DEATH_SECONDS: Final = 10.0
_PROBE_SECONDS: Final = 0.01


def running(config: ClusterConfig, host: Host) -> bool:
    """Whether the host's supervisor answers."""
    return supervision.ask_at(directory(config, host) / "supervisor.sock") is not None


def processes(config: ClusterConfig, hosts: Hosts, host: Host) -> set[int]:
    """Every process of the host: those in its network namespace, and its containers, which have their own."""
    found = cgroup_pids(cgroup_folders(ContainerdPaths(directory(config, host)).cgroup_root))
    with contextlib.suppress(FileNotFoundError):
        if underlay.exists(hosts, host):
            found |= _in_namespace(underlay.namespace_path(hosts, host).stat().st_ino)
    return found - {os.getpid()}


def _in_namespace(number: int) -> set[int]:
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (folder / "ns" / "net").stat().st_ino == number:
                found.add(int(folder.name))
    return found


def cut_power(config: ClusterConfig, hosts: Hosts, host: Host) -> None:
    """The host dies at once: silent on the network, every process killed; its disk stays as it is.

    Afterwards nothing of it is on the machine but its directory. Idempotent.
    """
    underlay.cut(hosts, host)
    until = time.monotonic() + _DEATH_SECONDS
    while alive := processes(config, hosts, host):
        for pid in alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > until:
            raise ConfigError(f"processes of {host.name} do not die: {', '.join(map(str, sorted(alive)))}")
        time.sleep(_PROBE_SECONDS)
    _clear(directory(config, host))
    underlay.remove_host(hosts, host)


def _clear(folder: Path) -> None:
    """What a machine loses with its power: mounts, sockets, cgroups, all under /run."""
    remove_remains(ContainerdPaths(folder))
    unmount_below(folder)
    if left := mounts_below(folder, Path("/proc/self/mounts").read_text()):
        raise ConfigError(f"{left[0]} cannot be unmounted")  # removing the directory would empty what is mounted there
    (folder / "supervisor.sock").unlink(missing_ok=True)
    (folder / "containerd" / "containerd.pid").unlink(missing_ok=True)
    for address in (folder / "network" / "addresses").glob("*/*"):
        address.unlink(missing_ok=True)
    for result in CNI_RESULTS.glob(f"tiphys-{short_name(folder)}-*"):
        result.unlink(missing_ok=True)
    for parent in (CNI_RESULTS, CNI_RESULTS.parent):
        with contextlib.suppress(OSError):
            parent.rmdir()  # only when empty: another runtime may use it


def shut_down(config: ClusterConfig, hosts: Hosts, host: Host) -> None:
    """The host ends in order: its processes are asked first. Pods get no more than a power cut gives them."""
    with contextlib.suppress(ConfigError):
        supervision.stop_at(directory(config, host) / "supervisor.sock")
    cut_power(config, hosts, host)
