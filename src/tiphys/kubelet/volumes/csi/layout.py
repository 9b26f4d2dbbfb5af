"""Where CSI volumes are on the node, and what is written down about them: upstream's places and file format.

A kubelet that starts finds here what the one before it had staged and published, and can take it back although the
API knows nothing of it any more.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from tiphys.api.csi_volumes import PLUGIN, unique_name
from tiphys.kubelet.volumes.csi.volume import CsiVolume

RECORD: Final = "vol_data.json"
POD_FOLDER: Final = "kubernetes.io~csi"


class VolumeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """``vol_data.json``: what it takes to give a volume back."""

    name: str = msgspec.field(name="specVolID")
    handle: str = msgspec.field(name="volumeHandle")
    driver: str = msgspec.field(name="driverName")
    node_name: str = msgspec.field(name="nodeName", default="")
    attachment: str = msgspec.field(name="attachmentID", default="")
    lifecycle_mode: str = msgspec.field(name="volumeLifecycleMode", default="Persistent")

    @property
    def unique(self) -> str:
        return unique_name(self.driver, self.handle)


@dataclass(frozen=True, slots=True)
class Published:
    """A volume given to a pod: `target` is what the driver was told, `folder` holds the record."""

    record: VolumeRecord
    pod_uid: str
    target: Path
    folder: Path
    block: bool = False


@dataclass(frozen=True, slots=True)
class Staged:
    record: VolumeRecord
    staging: Path
    folder: Path


class CsiLayout:
    """Paths below a kubelet's data directory."""

    def __init__(self, data_dir: Path) -> None:
        self.pods_dir = data_dir / "pods"
        self.plugin_dir = data_dir / "plugins" / PLUGIN

    def staging(self, volume: CsiVolume) -> Path:
        """What NodeStageVolume is told."""
        if volume.block:
            return self.plugin_dir / "volumeDevices" / "staging" / volume.name
        digest = hashlib.sha256(volume.handle.encode()).hexdigest()
        return self.plugin_dir / volume.driver / digest / "globalmount"

    def stage_folder(self, volume: CsiVolume) -> Path:
        """Where the record of a staged volume is."""
        if volume.block:
            return self.plugin_dir / "volumeDevices" / volume.name / "data"
        return self.staging(volume).parent

    def target(self, volume: CsiVolume, pod_uid: str) -> Path:
        """What NodePublishVolume is told; its parent must exist."""
        if volume.block:
            return self.plugin_dir / "volumeDevices" / "publish" / volume.name / pod_uid
        return self.pods_dir / pod_uid / "volumes" / POD_FOLDER / volume.name / "mount"

    def pod_folder(self, volume: CsiVolume, pod_uid: str) -> Path:
        """Where the record of a published volume is."""
        kind = "volumeDevices" if volume.block else "volumes"
        return self.pods_dir / pod_uid / kind / POD_FOLDER / volume.name

    def published(self, pod_uid: str) -> list[Published]:
        """All that a pod was given, or was about to be."""
        found = []
        for kind in ("volumes", "volumeDevices"):
            for folder, record in _records((self.pods_dir / pod_uid / kind / POD_FOLDER).glob(f"*/{RECORD}")):
                block = kind == "volumeDevices"
                target = (
                    self.plugin_dir / "volumeDevices" / "publish" / record.name / pod_uid if block else folder / "mount"
                )
                found.append(Published(record, pod_uid, target, folder, block))
        return found

    def all_published(self) -> list[Published]:
        uids = [entry.name for entry in self.pods_dir.glob("*") if entry.is_dir()]
        return [published for uid in uids for published in self.published(uid)]

    def staged(self) -> list[Staged]:
        """All that is staged, or was about to be."""
        mounts = [
            Staged(record, folder / "globalmount", folder)
            for folder, record in _records(self.plugin_dir.glob(f"*/*/{RECORD}"))
            if folder.name != "data"
        ]
        devices = self.plugin_dir / "volumeDevices"
        blocks = [
            Staged(record, devices / "staging" / record.name, folder)
            for folder, record in _records(devices.glob(f"*/data/{RECORD}"))
        ]
        return mounts + blocks


def write_record(folder: Path, record: VolumeRecord) -> None:
    """Written before the driver is asked, so that a call cut short is known of."""
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    fresh = folder / f".{RECORD}"
    fresh.write_bytes(msgspec.json.encode(record))
    fresh.replace(folder / RECORD)


def forget(folder: Path) -> None:
    """Remove a record and its folder, whose mount must be gone: nothing below it is deleted but empty folders."""
    for child in folder.iterdir() if folder.exists() else ():
        if child.is_dir() and not child.is_symlink():
            child.rmdir()
    shutil.rmtree(folder, ignore_errors=True)


def _records(paths: Iterator[Path]) -> Iterator[tuple[Path, VolumeRecord]]:
    for path in sorted(paths):
        try:
            yield path.parent, msgspec.json.decode(path.read_bytes(), type=VolumeRecord)
        except (msgspec.DecodeError, FileNotFoundError):
            continue
