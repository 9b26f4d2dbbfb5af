"""Volumes as plain files: what is written, when it changes, that nothing is left."""

from __future__ import annotations

import asyncio
import base64
import os
from pathlib import Path
from typing import Any

import pytest

from tests.unit.client.fake_api import FakeApi
from tests.unit.kubelet.player import pod
from tiphys.api.types.core_v1 import Pod
from tiphys.kubelet.spec.downward import NodeFacts
from tiphys.kubelet.volumes import atomic, hostpath, subpath
from tiphys.kubelet.volumes.atomic import FileContent
from tiphys.kubelet.volumes.manager import VolumeManager
from tiphys.kubelet.volumes.mounts import mounts_below, unmount
from tiphys.kubelet.volumes.payload import VolumeError
from tiphys.testing.clock import FakeClock, settle


def files(**contents: bytes) -> dict[str, FileContent]:
    return {name: FileContent(data, 0o644) for name, data in contents.items()}


def test_an_update_swaps_all_files_at_once(tmp_path: Path) -> None:
    assert atomic.write(tmp_path, {**files(a=b"1"), "d/e": FileContent(b"2", 0o400)}, stamp="1")
    assert (tmp_path / "a").read_bytes() == b"1"
    assert (tmp_path / "d" / "e").read_bytes() == b"2"
    assert (tmp_path / "d/e").stat().st_mode & 0o777 == 0o400
    assert (tmp_path / "a").readlink() == Path("..data/a")
    assert atomic.write(tmp_path, files(a=b"3", b=b"4"), stamp="2")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["..2", "..data", "a", "b"]
    assert (tmp_path / "a").read_bytes() == b"3"


def test_the_same_files_are_not_written_again(tmp_path: Path) -> None:
    atomic.write(tmp_path, files(a=b"1"), stamp="1")
    assert not atomic.write(tmp_path, files(a=b"1"), stamp="2")
    assert (tmp_path / "..data").readlink() == Path("..1")


def test_a_volume_may_become_empty(tmp_path: Path) -> None:
    atomic.write(tmp_path, files(a=b"1"), stamp="1")
    atomic.write(tmp_path, {}, stamp="2")
    assert not (tmp_path / "a").is_symlink()


class World:
    """A volume manager on a fake API; `changed` collects the pods told of."""

    def __init__(self, folder: Path) -> None:
        self.api = FakeApi()
        self.clock = FakeClock()
        self.changed: list[frozenset[str]] = []
        self.tokens = 0
        self.client = self.api.client()
        self.manager = VolumeManager(
            self.client,
            folder / "pods",
            self.clock,
            facts=lambda _: NodeFacts("10.0.0.1"),
            on_change=self.changed.append,
            mounts=False,
        )

    def put(self, kind: str, name: str, **data: str) -> None:
        plural = {"ConfigMap": "configmaps", "Secret": "secrets"}[kind]
        path = f"{plural}/ns/{name}"
        event = "MODIFIED" if path in self.api.objects else "ADDED"
        meta = {"name": name, "namespace": "ns", "uid": name}
        self.api.put(path, {"kind": kind, "apiVersion": "v1", "metadata": meta, "data": data}, event)

    def path(self, volume: str) -> Path:
        return self.manager.mounted("u1")[volume].path


@pytest.fixture
async def world(tmp_path: Path) -> Any:
    made = World(tmp_path)
    yield made
    await made.manager.close()


def with_volumes(*volumes: dict[str, Any], **more: Any) -> Pod:
    return pod({"volumes": list(volumes), **more})


async def test_configmaps_and_secrets_become_files(world: World) -> None:
    world.put("ConfigMap", "cm", a="1", b="2")
    world.put("Secret", "s", pw=base64.b64encode(b"geheim").decode())
    subject = with_volumes(
        {"name": "all", "configMap": {"name": "cm"}},
        {"name": "some", "configMap": {"name": "cm", "items": [{"key": "b", "path": "x/y", "mode": 0o600}]}},
        {"name": "s", "secret": {"secretName": "s", "defaultMode": 0o400}},
    )
    await world.manager.prepare(subject)
    assert (world.path("all") / "a").read_text() == "1"
    assert (world.path("some") / "x" / "y").read_text() == "2"
    assert not (world.path("some") / "a").exists()
    assert (world.path("s") / "pw").read_text() == "geheim"
    assert (world.path("s") / "pw").stat().st_mode & 0o777 == 0o400
    assert world.manager.mounted("u1")["s"].read_only


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        ({"configMap": {"name": "x"}}, 'MountVolume.SetUp failed for volume "v" : configmap "x" not found'),
        ({"secret": {"secretName": "x"}}, 'MountVolume.SetUp failed for volume "v" : secret "x" not found'),
        ({"configMap": {"name": "cm", "items": [{"key": "k", "path": "p"}]}}, "references non-existent config key: k"),
        ({"nfs": {"server": "s", "path": "/"}}, "no volume plugin matched"),
    ],
)
async def test_what_cannot_be_made_says_why(world: World, volume: dict[str, Any], message: str) -> None:
    world.put("ConfigMap", "cm", a="1")
    with pytest.raises(VolumeError, match=message.replace("(", r"\(")):
        await world.manager.prepare(with_volumes({"name": "v", **volume}))


async def test_optional_sources_may_be_missing(world: World) -> None:
    await world.manager.prepare(with_volumes({"name": "v", "configMap": {"name": "x", "optional": True}}))
    assert [p.name for p in world.path("v").iterdir() if not p.name.startswith("..")] == []


async def test_a_changed_object_is_heard_of_and_rewritten(world: World) -> None:
    world.put("ConfigMap", "cm", a="1")
    subject = with_volumes({"name": "v", "configMap": {"name": "cm"}})
    await world.manager.prepare(subject)
    await settle()
    world.put("ConfigMap", "cm", a="2")
    await settle()
    assert world.changed == [frozenset({"u1"})]
    await world.manager.refresh(subject)
    assert (world.path("v") / "a").read_text() == "2"


async def test_an_object_is_read_once_for_all_who_use_it(world: World) -> None:
    world.put("ConfigMap", "cm", a="1")
    pods = [with_volumes({"name": "v", "configMap": {"name": "cm"}}) for _ in range(5)]
    for number, subject in enumerate(pods):
        subject.metadata.uid = f"u{number}"
    await asyncio.gather(*(world.manager.prepare(p) for p in pods))
    await settle()
    reads = [r for r in world.api.requests if "configmaps" in r]
    assert reads == ["GET /api/v1/namespaces/ns/configmaps/cm", "GET /api/v1/namespaces/ns/configmaps?watch"]


async def test_downward_api_and_projected_volumes(world: World) -> None:
    world.put("ConfigMap", "cm", ca="cert")
    projected = {
        "sources": [
            {"configMap": {"name": "cm", "items": [{"key": "ca", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
        ]
    }
    downward = {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}
    subject = pod(
        {"volumes": [{"name": "p", "projected": projected}, {"name": "d", "downwardAPI": downward}]},
        labels={"app": "web"},
    )
    await world.manager.prepare(subject)
    assert (world.path("p") / "ca.crt").read_text() == "cert"
    assert (world.path("p") / "namespace").read_text() == "ns"
    assert (world.path("d") / "labels").read_text() == 'app="web"'


async def test_clean_leaves_nothing(world: World, tmp_path: Path) -> None:
    world.put("ConfigMap", "cm", a="1")
    subject = with_volumes({"name": "v", "configMap": {"name": "cm"}}, {"name": "e", "emptyDir": {}})
    await world.manager.prepare(subject)
    (world.path("e") / "left").write_text("x")
    assert world.path("e").stat().st_mode & 0o777 == 0o777
    await world.manager.clean("u1")
    assert list((tmp_path / "pods").iterdir()) == []
    assert world.manager.leftovers() == []
    await world.manager.clean("u1")


def test_host_paths_are_what_they_are_said_to_be(tmp_path: Path) -> None:
    hostpath.check(tmp_path, "Directory")
    hostpath.check(tmp_path / "new" / "er", "DirectoryOrCreate")
    hostpath.check(tmp_path / "file", "FileOrCreate")
    hostpath.check(tmp_path / "nothing", "")
    with pytest.raises(VolumeError, match=r"hostPath type check failed: .* is not a directory"):
        hostpath.check(tmp_path / "file", "Directory")
    with pytest.raises(VolumeError, match="is not a socket"):
        hostpath.check(tmp_path / "nothing", "Socket")


@pytest.mark.skipif(os.geteuid() == 0, reason="as root a sub path is mounted, not named")
def test_sub_paths_stay_in_their_volume(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    made = subpath.pin(volume, "a/b", tmp_path / "pins" / "0", read_only=False)
    assert made == volume / "a" / "b"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")
def test_a_pinned_sub_path_follows_the_volume_at_the_next_start(tmp_path: Path) -> None:
    volume, target = tmp_path / "volume", tmp_path / "pins" / "0"
    volume.mkdir()
    atomic.write(volume, files(a=b"old"), stamp="1")
    try:
        subpath.pin(volume, "a", target, read_only=True)
        atomic.write(volume, files(a=b"new"), stamp="2")
        assert target.read_bytes() == b"old"
        assert subpath.pin(volume, "a", target, read_only=True) == target
        assert target.read_bytes() == b"new"
        assert subpath.pin(volume, "a", target, read_only=True) == target
        assert len(mounts_below(target)) == 1
    finally:
        for point in mounts_below(tmp_path):
            unmount(point)


def test_sub_paths_that_lead_outside_are_refused(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "escape").symlink_to("/etc")
    with pytest.raises(OSError, match="escape"):
        subpath.pin(volume, "escape/passwd", tmp_path / "pins" / "0", read_only=True)
    with pytest.raises(FileNotFoundError):
        subpath.pin(volume, "missing", tmp_path / "pins" / "0", read_only=True)


def test_nothing_is_mounted_below_a_plain_folder(tmp_path: Path) -> None:
    assert mounts_below(tmp_path) == []
    assert Path("/proc") in mounts_below(Path("/proc"))
