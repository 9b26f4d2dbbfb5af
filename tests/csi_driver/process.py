"""The driver, and the controllers beside it, as processes that tests start, kill and start again."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
NAME = "disk.csi.example.org"


def missing_for_disks() -> str:
    """Why disks cannot be made here; empty when they can."""
    if not Path("/dev/loop-control").exists():
        return "needs loop devices"
    missing = [program for program in ("losetup", "mkfs.xfs", "xfs_growfs") if shutil.which(program) is None]
    return f"needs {missing[0]}" if missing else ""


@dataclass
class DriverProcess:
    """One node's driver. `state` is shared by all nodes; `kubelet_dir` is the data directory of the node's kubelet."""

    state: Path
    kubelet_dir: Path
    node_id: str
    options: tuple[str, ...] = ()
    name: str = NAME
    process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        return self.state / f"{self.node_id}.sock"

    def command(self) -> list[str]:
        """How it is run, from the folder ROOT."""
        registration = self.kubelet_dir / "plugins_registry" / f"{self.name}.sock"
        return [
            sys.executable, "-m", "tests.csi_driver", "--name", self.name, "--socket", str(self.socket),
            "--registration", str(registration), "--state", str(self.state), "--node-id", self.node_id, *self.options,
        ]  # fmt: skip

    def start(self) -> None:
        self.state.mkdir(parents=True, exist_ok=True)
        with (self.state / f"{self.node_id}.log").open("ab") as log:
            self.process = subprocess.Popen(self.command(), cwd=ROOT, stdout=log, stderr=log)

    def end(self, number: int = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(10)
            self.process = None


@dataclass
class ControllerProcess:
    """``tiphys csi-controller`` beside a driver."""

    socket: Path
    kubeconfig: Path
    log: Path
    options: tuple[str, ...] = ("--no-leader-election",)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [
            str(Path(sys.executable).parent / "tiphys"), "csi-controller", "--csi-address", str(self.socket),
            "--kubeconfig", str(self.kubeconfig), *self.options,
        ]  # fmt: skip
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def end(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
            self.process = None


def role() -> dict[str, Any]:
    """The ClusterRole that docs/csi.md says the controllers need."""
    text = (ROOT / "docs" / "csi.md").read_text()
    found: dict[str, Any] = yaml.safe_load(text.partition("```yaml")[2].partition("```")[0])
    return found


def kubeconfig_with_token(admin: Path, token: str, target: Path) -> Path:
    """As `admin`, but with a token for credentials."""
    config = yaml.safe_load(admin.read_text())
    for user in config["users"]:
        user["user"] = {"token": token}
    target.write_text(yaml.safe_dump(config))
    target.chmod(0o600)
    return target


@dataclass
class DiskService:
    """All of a cluster's driver: an instance a node, and the controllers beside the first."""

    state: Path
    drivers: list[DriverProcess]
    controller: ControllerProcess

    def start(self) -> None:
        for part in (*self.drivers, self.controller):
            part.start()

    def end(self) -> None:
        for part in (self.controller, *self.drivers):
            part.end()

    def calls(self, method: str) -> list[str]:
        """Which volumes `method` was called for, "" for none."""
        log = self.state / "calls.log"
        lines = [line.split(" ") for line in log.read_text().splitlines()] if log.exists() else []
        return [volume for _, called, volume in lines if called == method]

    def fault(self, method: str, **fault: Any) -> None:
        """From now on calls of `method` are slow or fail."""
        (self.state / "faults.json").write_text(json.dumps({method: fault}))

    def heal(self) -> None:
        (self.state / "faults.json").unlink(missing_ok=True)

    def disks(self) -> list[dict[str, Any]]:
        """What the driver knows of each disk there is."""
        return [json.loads(path.read_text()) for path in sorted((self.state / "disks").glob("*.json"))]

    def loops(self) -> list[str]:
        """The loop devices that disks of this service have."""
        listed = subprocess.run(["losetup", "-a"], capture_output=True, text=True, check=True).stdout
        return [line for line in listed.splitlines() if str(self.state) in line]

    def release(self) -> None:
        """Whatever a failed test has left of mounts and loop devices."""
        for line in self.loops():
            device = line.split(":", 1)[0]
            for point in _mounts_of(device):
                subprocess.run(["umount", "-l", point], check=False)
            subprocess.run(["losetup", "-d", device], check=False)


def _mounts_of(device: str) -> Iterator[str]:
    for line in Path("/proc/self/mounts").read_text().splitlines():
        fields = line.split(" ")
        if fields[0] == device:
            yield fields[1]


def storage(name: str = NAME, storage_class: str = "disk", **driver: Any) -> list[dict[str, Any]]:
    """The driver's CSIDriver and StorageClass: file systems are xfs, which grow while mounted everywhere."""
    return [
        {
            "apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": name},
            "spec": {
                "attachRequired": True, "podInfoOnMount": True, "fsGroupPolicy": "File",
                "volumeLifecycleModes": ["Persistent", "Ephemeral"],
            } | driver,
        },
        {
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": storage_class},
            "provisioner": name, "volumeBindingMode": "WaitForFirstConsumer", "allowVolumeExpansion": True,
            "parameters": {"csi.storage.k8s.io/fstype": "xfs"},
        },
    ]  # fmt: skip


def claim(name: str, size: str = "300Mi", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": "disk", "resources": {"requests": {"storage": size}},
        } | spec,
    }  # fmt: skip
