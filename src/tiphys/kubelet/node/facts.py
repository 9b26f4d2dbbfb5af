"""What a host is and has, read from it."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from tiphys.kubelet.config import KubeletConfig

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


@dataclass(frozen=True, slots=True)
class HostFacts:
    """Capacity and identity of a machine; sizes in bytes. Made up for hollow nodes."""

    cpu_millis: int
    memory_bytes: int
    disk_bytes: int
    hugepages: dict[str, int] = field(default_factory=dict)
    """By resource name (``hugepages-2Mi``), bytes."""
    machine_id: str = ""
    system_uuid: str = ""
    boot_id: str = ""
    kernel_version: str = ""
    os_image: str = ""
    architecture: str = "amd64"
    operating_system: str = "linux"


def read_host(config: KubeletConfig) -> HostFacts:
    """The facts of this host."""
    config.data_dir.mkdir(parents=True, exist_ok=True)
    return HostFacts(
        cpu_millis=(os.cpu_count() or 1) * 1000,
        memory_bytes=memory_info()["MemTotal"],
        disk_bytes=shutil.disk_usage(config.data_dir).total,
        hugepages=_hugepages(),
        machine_id=_text("/etc/machine-id"),
        system_uuid=_text("/sys/class/dmi/id/product_uuid") or _text("/etc/machine-id"),
        boot_id=_text("/proc/sys/kernel/random/boot_id"),
        kernel_version=platform.release(),
        os_image=_os_image(),
        architecture=_ARCHITECTURES.get(platform.machine(), platform.machine()),
    )


def memory_info() -> dict[str, int]:
    """/proc/meminfo in bytes."""
    result: dict[str, int] = {}
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, rest = line.partition(":")
        number = rest.split()[0]
        result[name] = int(number) * (1024 if rest.endswith("kB") else 1)
    return result


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _os_image() -> str:
    for line in _text("/etc/os-release").splitlines():
        name, _, value = line.partition("=")
        if name == "PRETTY_NAME":
            return value.strip('"')
    return platform.system()


def _hugepages() -> dict[str, int]:
    found: dict[str, int] = {"hugepages-1Gi": 0, "hugepages-2Mi": 0}
    for folder in Path("/sys/kernel/mm/hugepages").glob("hugepages-*kB"):
        size = int(folder.name.removeprefix("hugepages-").removesuffix("kB")) * 1024
        count = int((folder / "nr_hugepages").read_text())
        unit = f"{size >> 30}Gi" if size >= 1 << 30 else f"{size >> 20}Mi"
        found[f"hugepages-{unit}"] = size * count
    return found
