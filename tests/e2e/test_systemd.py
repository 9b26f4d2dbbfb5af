"""Units: systemd takes them as they are, and what they start says when it is ready."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import BIN, free_port
from tiphys.cmd.systemd import SERVICES, TARGET

ROLES = {
    "all": {"apiserver", "scheduler", "controller-manager", "metrics-server", "kubelet", "proxy", "dns"},
    "server": {"apiserver", "scheduler", "controller-manager", "metrics-server", "pod-routes"},
    "worker": {"kubelet", "proxy", "dns"},
}


def tiphys(*arguments: str) -> str:
    done = subprocess.run([str(BIN / "tiphys"), *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def lines_of(unit: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals:
            found.setdefault(key, []).append(value)
    return found


@pytest.mark.parametrize("role", ROLES)
def test_each_role_has_its_units_and_systemd_takes_them(role: str, tmp_path: Path) -> None:
    tiphys("systemd", "--role", role, "--data-dir", "/var/lib/tiphys", "-o", str(tmp_path))
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {TARGET} | {f"tiphys-{component}.service" for component in ROLES[role]}
    for component in ROLES[role]:
        unit = lines_of(tmp_path / f"tiphys-{component}.service")
        assert unit["Restart"] == ["always"] and unit["Type"] == ["notify"] and unit["WantedBy"] == [TARGET]
        ordered = set(unit["After"][0].split())
        present = {f"tiphys-{other}.service" for other in SERVICES[component].after if other in ROLES[role]}
        assert ordered == {"network-online.target"} | present
        confined = component != "kubelet"
        assert ("NoNewPrivileges" in unit) == ("ProtectSystem" in unit) == ("CapabilityBoundingSet" in unit) == confined
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not here: the units were only read")
    files = sorted(str(path) for path in tmp_path.iterdir())
    checked = subprocess.run(
        ["systemd-analyze", "verify", *files], capture_output=True, text=True, timeout=60, check=False
    )
    own = [line for line in checked.stderr.splitlines() if str(tmp_path) in line or "tiphys" in line]
    assert checked.returncode == 0 and not own, checked.stderr


def test_one_component_is_printed(tmp_path: Path) -> None:
    text = tiphys("systemd", "kubelet", "--data-dir", str(tmp_path), "--program", "/opt/tiphys/bin/tiphys")
    assert f"ExecStart=/opt/tiphys/bin/tiphys run kubelet --data-dir {tmp_path}\n" in text
    assert "KillMode=process" in text and "Delegate=yes" in text
    refused = subprocess.run([str(BIN / "tiphys"), "systemd", "nothing"], capture_output=True, text=True, check=False)
    assert refused.returncode == 1 and refused.stderr.startswith("tiphys: no component 'nothing': one of etcd,")


@pytest.fixture(name="manager")
def _manager(tmp_path: Path) -> Iterator[socket.socket]:
    """What systemd listens on for a service's words."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(60)
        yield listening


def test_what_a_unit_starts_says_when_it_is_ready_and_when_it_ends(tmp_path: Path, manager: socket.socket) -> None:
    data_dir = tmp_path / "data"
    tiphys(
        "init", "--data-dir", str(data_dir), "--role", "server", "--node-ip", "127.0.0.1",
        "--secure-port", str(free_port()), "--kubelet-port", str(free_port()),
    )  # fmt: skip
    assert {path.stat().st_mode & 0o777 for path in data_dir.rglob("*") if path.is_file()} == {0o600}
    tiphys("systemd", "--data-dir", str(data_dir), "-o", str(tmp_path / "units"))
    for component in ("apiserver", "scheduler"):
        command = lines_of(tmp_path / "units" / f"tiphys-{component}.service")["ExecStart"][0].split()
        process = subprocess.Popen(
            command,
            env={**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")},
            stdout=subprocess.DEVNULL,
            stderr=sys.stderr,
        )
        try:
            assert manager.recv(100) == b"READY=1"
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(timeout=30)
        assert manager.recv(100) == b"STOPPING=1" and code == 0
