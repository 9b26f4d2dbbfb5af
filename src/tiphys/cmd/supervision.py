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
from pathlib import Path

import msgspec

from tiphys.cmd.config import ClusterConfig, ConfigError

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
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_ANSWER_SECONDS)
        try:
            connection.connect(str(config.socket_path))
            parts = []
            while part := connection.recv(65536):
                parts.append(part)
        except (FileNotFoundError, ConnectionError, TimeoutError):
            return None
    return msgspec.json.decode(b"".join(parts), type=SupervisorReport) if parts else None


def plan(config: ClusterConfig) -> list[dict[str, object]]:
    """The processes of a cluster, in the order they start."""
    groups = {"apiserver": ["apiserver"], "control-plane": ["scheduler,controller-manager"]}
    groups |= {"hollow-nodes": ["hollow-nodes"]} if config.hollow else {"node": ["kubelet,proxy,dns"]}
    return [
        {
            "name": name,
            "command": [sys.executable, "-m", "tiphys.cmd.process", "--data-dir", config.data_dir, *components],
            "environment": _ENVIRONMENT,
        }
        for name, components in groups.items()
    ]


def start(config: ClusterConfig) -> SupervisorReport:
    """Start the supervisor in a session of its own, unless it runs; raises ConfigError when it won't come up."""
    running = ask(config)
    if running is not None:
        return running
    config.log_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    plan_path = config.root / "processes.json"
    document = {
        "log_dir": str(config.log_dir),
        "socket_path": str(config.socket_path),
        "children": plan(config),
    }
    plan_path.write_text(json.dumps(document, indent=1))
    log_path = config.log_dir / "supervisor.log"
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tiphys.cmd.supervisor", str(plan_path)],
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
    running = ask(config)
    if running is None:
        return False
    descriptor = os.pidfd_open(running.pid)
    try:
        with contextlib.suppress(ProcessLookupError):
            os.kill(running.pid, signal.SIGTERM)
        if not _ends_within(descriptor, _STOP_SECONDS):
            raise ConfigError(f"the supervisor (process {running.pid}) does not end: see {config.log_dir}")
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
