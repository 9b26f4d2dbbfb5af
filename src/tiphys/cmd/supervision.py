"""Talking to a cluster's process supervisor: start it in the background, ask it, end it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tiphys.cmd.config import ClusterConfig, ConfigError
from tiphys.cmd.containerd_config import ContainerdPaths

_ANSWER_SECONDS = 2.0
_START_SECONDS = 10.0
_STOP_SECONDS = 90.0
# gRPC's fork handlers are for children that go on as us; ours become other programs at once.
_ENVIRONMENT = {"GRPC_ENABLE_FORK_SUPPORT": "0", "GRPC_VERBOSITY": "ERROR"}


class ProcessReport(msgspec.Struct, frozen=True):
    """One supervised process; `pid` is None while it is down."""

    name: str
    pid: int | None
    restarts: int
    uptime_seconds: float


class SupervisorReport(msgspec.Struct, frozen=True):
    pid: int
    processes: tuple[ProcessReport, ...]


def ask(config: ClusterConfig) -> SupervisorReport | None:
    """What the supervisor runs now; None when there is no supervisor."""
    return ask_at(config.socket_path)


def ask_at(socket_path: Path) -> SupervisorReport | None:
    """As `ask`, of the supervisor whose control socket that is."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_ANSWER_SECONDS)
        try:
            connection.connect(str(socket_path))
            parts = []
            while part := connection.recv(65536):
                parts.append(part)
        except (FileNotFoundError, ConnectionError, TimeoutError):
            return None
    return msgspec.json.decode(b"".join(parts), type=SupervisorReport) if parts else None


def groups(config: ClusterConfig) -> dict[str, str]:
    """Process name to the components it runs, in the order they start."""
    found = {"etcd": "etcd"} if config.etcd_member else {}
    if config.runs_control_plane:
        found |= {"apiserver": "apiserver", "control-plane": "scheduler,controller-manager,metrics-server"}
        if config.role == "server":
            # Without a node, webhooks and proxied requests still must reach pods.
            found["control-plane"] += ",pod-routes"
    if config.role == "balancer":
        found["balancer"] = "balancer"
    if config.hollow:
        found["hollow-nodes"] = "hollow-nodes"
    elif config.runs_node:
        # It lives and dies with the only ones who need it.
        balancer = "balancer," if config.role == "worker" and config.balancer_port else ""
        found["node"] = f"{balancer}kubelet,proxy,dns"
    return found


def plan(config: ClusterConfig) -> list[dict[str, object]]:
    """The processes of a cluster on this machine, in the order they start."""
    return [
        {
            "name": name,
            "command": _command(config, components),
            "environment": _ENVIRONMENT,
        }
        for name, components in groups(config).items()
    ]


def _command(config: ClusterConfig, components: str) -> list[str]:
    if components == "etcd":
        from tiphys.cmd.etcd import command

        return command(config)
    return [sys.executable, "-m", "tiphys.cmd.process", "--data-dir", config.data_dir, components]


def start(config: ClusterConfig, inside: Sequence[str] = ()) -> SupervisorReport:
    """Start the supervisor in a session of its own, unless it runs; raises ConfigError when it won't come up.

    `inside` is the start of a command line that runs the rest elsewhere: on one of the machine's hosts.
    """
    running = ask(config)
    if running is not None:
        return running
    config.log_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    plan_path = config.root / "processes.json"
    document = {
        "log_dir": str(config.log_dir),
        "socket_path": str(config.socket_path),
        "children": plan(config),
        "other_logs": [str(ContainerdPaths(config.root).log)],
    }
    plan_path.write_text(json.dumps(document, indent=1))
    log_path = config.log_dir / "supervisor.log"
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            [*inside, sys.executable, "-m", "tiphys.cmd.supervisor", str(plan_path)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/",
        )  # fmt: skip
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until:
        report = ask(config)
        if report is not None:
            # Popen warns when it is collected while its child lives; this child is meant to outlive us.
            process.returncode = 0
            return report
        if process.poll() is not None:
            break
        time.sleep(0.02)
    raise ConfigError(f"the supervisor did not start: see {log_path}\n{last_lines(log_path)}")


def stop(config: ClusterConfig) -> bool:
    """End the supervisor and what it runs; True when there was one. Raises ConfigError when it does not end in time."""
    return stop_at(config.socket_path)


def stop_at(socket_path: Path) -> bool:
    """As `stop`, of the supervisor whose control socket that is."""
    running = ask_at(socket_path)
    if running is None:
        return False
    try:
        descriptor = os.pidfd_open(running.pid)
    except ProcessLookupError:
        return True
    try:
        with contextlib.suppress(ProcessLookupError):
            os.kill(running.pid, signal.SIGTERM)
        if not _ends_within(descriptor, _STOP_SECONDS):
            raise ConfigError(f"the supervisor (process {running.pid}) does not end: see logs beside {socket_path}")
    finally:
        os.close(descriptor)
    return True


def _ends_within(process_descriptor: int, seconds: float) -> bool:
    import select

    return bool(select.select([process_descriptor], [], [], seconds)[0])


def last_lines(path: Path, count: int = 15) -> str:
    """The end of a log, indented; empty when there is none."""
    try:
        lines = path.read_text(errors="replace").splitlines()[-count:]
    except OSError:
        return ""
    return "\n".join(f"    {line}" for line in lines)
