"""OCI image archives from files: one layer, no builder, no registry, the same bytes for the same input.

A root file system is held in memory as a mapping of paths; ``write_archive`` makes the tar that ``tiphys image load``,
``ctr images import`` and ``docker load`` read.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import stat
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

EPOCH = "1970-01-01T00:00:00Z"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "ppc64le": "ppc64le", "s390x": "s390x"}
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file (``data``), a symbolic link (``target``), or a directory (neither). ``mode`` is the permission bits."""

    mode: int
    data: bytes | None = None
    target: str = ""

    @property
    def is_directory(self) -> bool:
        return self.data is None and not self.target


Tree = dict[str, Entry]
"""Paths without a leading slash to entries; parents may be left out."""


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """How a container of the image runs by default; the fields are OCI's."""

    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=lambda: {"PATH": DEFAULT_PATH})
    user: str = ""
    working_dir: str = ""
    exposed_ports: tuple[str, ...] = ()
    stop_signal: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        wire: dict[str, Any] = {
            "Entrypoint": list(self.entrypoint),
            "Cmd": list(self.command),
            "Env": [f"{k}={v}" for k, v in self.environment.items()],
            "User": self.user,
            "WorkingDir": self.working_dir,
            "ExposedPorts": {port: {} for port in self.exposed_ports},
            "StopSignal": self.stop_signal,
            "Labels": dict(self.labels),
        }
        return {key: value for key, value in wire.items() if value}


def architecture() -> str:
    """This machine's, by OCI's name."""
    return ARCHITECTURES.get(platform.machine(), platform.machine())


def normalize_reference(reference: str) -> str:
    """``nginx`` to ``docker.io/library/nginx:latest``, as every client of images reads it."""
    name, _, rest = reference.partition("/")
    has_domain = bool(rest) and ("." in name or ":" in name or name == "localhost")
    if not has_domain:
        reference = f"docker.io/{reference}" if rest else f"docker.io/library/{reference}"
    if "@" not in reference and ":" not in reference.rsplit("/", 1)[-1]:
        reference += ":latest"
    return reference


def read_folder(folder: Path) -> Tree:
    """The files, links and directories under a folder. Devices, sockets and pipes are left out."""
    tree: Tree = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        details = path.lstat()
        mode = stat.S_IMODE(details.st_mode)
        if stat.S_ISLNK(details.st_mode):
            tree[name] = Entry(0o777, target=str(path.readlink()))
        elif stat.S_ISREG(details.st_mode):
            tree[name] = Entry(mode, data=path.read_bytes())
        elif stat.S_ISDIR(details.st_mode):
            tree[name] = Entry(mode)
    return tree


def _with_parents(tree: Mapping[str, Entry]) -> list[tuple[str, Entry]]:
    complete: Tree = {}
    for name in tree:
        for parent in Path(name).parents:
            if parent != Path():
                complete.setdefault(parent.as_posix(), Entry(0o755))
    complete.update(tree)
    return sorted(complete.items())


def layer(tree: Mapping[str, Entry]) -> bytes:
    """The tree as an uncompressed tar: sorted, owned by root, without times, so equal trees are equal bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, entry in _with_parents(tree):
            member = tarfile.TarInfo(name)
            member.mode = entry.mode
            if entry.target:
                member.type, member.linkname = tarfile.SYMTYPE, entry.target
                tar.addfile(member)
            elif entry.data is None:
                member.type = tarfile.DIRTYPE
                tar.addfile(member)
            else:
                member.size = len(entry.data)
                tar.addfile(member, io.BytesIO(entry.data))
    return buffer.getvalue()


def _descriptor(media_type: str, blob: bytes) -> dict[str, Any]:
    digest = "sha256:" + hashlib.sha256(blob).hexdigest()
    return {"mediaType": media_type, "digest": digest, "size": len(blob)}


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def archive(tree: Mapping[str, Entry], config: ImageConfig, references: Sequence[str]) -> Iterable[tuple[str, bytes]]:
    """The files of an OCI image layout that also carries Docker's manifest, in the order they are to be written."""
    root = layer(tree)
    layer_descriptor = _descriptor("application/vnd.oci.image.layer.v1.tar", root)
    image = _json(
        {
            "architecture": architecture(),
            "os": "linux",
            "created": EPOCH,
            "config": config.to_dict(),
            "rootfs": {"type": "layers", "diff_ids": [layer_descriptor["digest"]]},
            "history": [{"created": EPOCH, "created_by": "tiphys image build"}],
        }
    )
    config_descriptor = _descriptor("application/vnd.oci.image.config.v1+json", image)
    manifest_type = "application/vnd.oci.image.manifest.v1+json"
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": manifest_type,
            "config": config_descriptor,
            "layers": [layer_descriptor],
        }
    )
    manifest_descriptor = _descriptor(manifest_type, manifest)
    names = [normalize_reference(reference) for reference in references]
    index = {
        "schemaVersion": 2,
        "manifests": [
            {
                **manifest_descriptor,
                "annotations": {
                    "io.containerd.image.name": name,
                    "org.opencontainers.image.ref.name": name.rsplit(":", 1)[-1],
                },
            }
            for name in names
        ],
    }
    yield "oci-layout", _json({"imageLayoutVersion": "1.0.0"})
    yield "index.json", _json(index)
    for descriptor, blob in ((manifest_descriptor, manifest), (config_descriptor, image), (layer_descriptor, root)):
        yield "blobs/sha256/" + descriptor["digest"].removeprefix("sha256:"), blob


def write_archive(destination: Path, tree: Mapping[str, Entry], config: ImageConfig, references: Sequence[str]) -> None:
    """Write the image, under all its names, to ``destination``; the file appears only when it is whole."""
    partial = destination.with_name(destination.name + ".partial")
    with tarfile.open(partial, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, blob in archive(tree, config, references):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(blob), 0o644
            tar.addfile(member, io.BytesIO(blob))
    partial.replace(destination)
