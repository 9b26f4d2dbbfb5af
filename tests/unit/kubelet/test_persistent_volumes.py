"""Volumes behind claims: what is mounted where, and why not."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.unit.client.fake_api import FakeApi
from tests.unit.kubelet.player import container, pod
from tiphys.api import codec
from tiphys.api.types.core_v1 import Node, Pod
from tiphys.kubelet.spec.downward import NodeFacts
from tiphys.kubelet.volumes.local import LocalVolumes
from tiphys.kubelet.volumes.manager import VolumeManager
from tiphys.kubelet.volumes.mounts import is_mounted, is_shared, mounts_below, unmount
from tiphys.kubelet.volumes.node_volumes import NodeVolumes
from tiphys.kubelet.volumes.payload import VolumeError
from tiphys.kubelet.volumes.persistent import PersistentVolumes
from tiphys.testing.clock import FakeClock

BEGINNING = (
    "Unable to attach or mount volumes: unmounted volumes=[v], unattached volumes=[], failed to process volumes=[v]: "
)
NODE = codec.from_dict(Node, {"metadata": {"name": "n1", "labels": {"zone": "a"}}})


class World:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.api = FakeApi()
        client = self.api.client()
        self.local = LocalVolumes(folder, privileged=os.geteuid() == 0)
        self.manager = VolumeManager(
            client,
            folder / "pods",
            FakeClock(),
            facts=lambda _: NodeFacts("10.0.0.1"),
            on_change=lambda _: None,
            persistent=PersistentVolumes(client, NodeVolumes(lambda: NODE), self.local, None),
        )

    def put(self, claim: dict[str, Any] | None = None, volume: dict[str, Any] | None = None, **status: Any) -> None:
        meta = {"name": "data", "namespace": "ns", "uid": "c-1"}
        spec = {"volumeName": "pv-1", **(claim or {})}
        body = {"metadata": meta, "spec": spec, "status": {"phase": "Bound", **status}}
        self.api.put(
            "persistentvolumeclaims/ns/data", {"kind": "PersistentVolumeClaim", "apiVersion": "v1", **body}, "ADDED"
        )
        reference = {"namespace": "ns", "name": "data", "uid": "c-1"}
        body = {"metadata": {"name": "pv-1"}, "spec": {"claimRef": reference, **(volume or {})}}
        self.api.put("persistentvolumes/pv-1", {"kind": "PersistentVolume", "apiVersion": "v1", **body}, "ADDED")

    async def refusal(self, subject: Pod | None = None) -> str:
        with pytest.raises(VolumeError) as caught:
            await self.manager.prepare(subject or user())
        return str(caught.value)

    async def path(self, subject: Pod | None = None) -> Path:
        await self.manager.prepare(subject or user())
        return self.manager.mounted("u1")["v"].path


def user(read_only: bool = False, uid: str = "u1", **spec: Any) -> Pod:
    source = {"claimName": "data", "readOnly": read_only}
    return pod({"volumes": [{"name": "v", "persistentVolumeClaim": source}], **spec}, uid=uid)


@pytest.fixture
def world(tmp_path: Path) -> Any:
    made = World(tmp_path)
    yield made
    for point in mounts_below(tmp_path):
        unmount(point)


async def test_a_claim_that_is_not_there(world: World) -> None:
    missing = 'failed to fetch PVC from API server: persistentvolumeclaims "data" not found'
    assert await world.refusal() == f"{BEGINNING}error processing PVC ns/data: {missing}"


async def test_a_claim_that_is_not_bound(world: World) -> None:
    world.put({"volumeName": ""}, phase="Pending")
    assert await world.refusal() == f"{BEGINNING}error processing PVC ns/data: PVC is not bound"


async def test_a_volume_of_another_claim(world: World) -> None:
    world.put(volume={"claimRef": {"uid": "other"}})
    assert 'its pv.Spec.ClaimRef.UID "other" does not point to claim.UID "c-1"' in await world.refusal()


async def test_an_ephemeral_volume_is_its_pods_alone(world: World) -> None:
    world.put(volume={"hostPath": {"path": "/"}})
    subject = pod({"volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}]}, name="x")
    assert 'persistentvolumeclaims "x-v" not found' in await world.refusal(subject)


async def test_devices_are_not_mounted_and_file_systems_not_opened(world: World) -> None:
    world.put(volume={"hostPath": {"path": "/"}, "volumeMode": "Block"})
    mounting = user(containers=[container("web", volumeMounts=[{"name": "v", "mountPath": "/v"}])])
    assert "volume v has volumeMode Block, but is specified in volumeMounts" in await world.refusal(mounting)
    world.put(volume={"hostPath": {"path": "/"}})
    opening = user(containers=[container("web", volumeDevices=[{"name": "v", "devicePath": "/dev/v"}])])
    assert "volume v has volumeMode Filesystem, but is specified in volumeDevices" in await world.refusal(opening)


async def test_types_without_a_plugin_are_refused_by_name(world: World) -> None:
    world.put(volume={"nfs": {"server": "s", "path": "/"}})
    assert await world.refusal() == 'MountVolume.SetUp failed for volume "pv-1" : no volume plugin matched: nfs'


async def test_volumes_of_other_nodes_are_not_mounted_here(world: World) -> None:
    expression = {"key": "zone", "operator": "In", "values": ["b"]}
    affinity = {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}
    world.put(volume={"hostPath": {"path": "/"}, "nodeAffinity": affinity})
    words = 'MountVolume.NodeAffinity check failed for volume "pv-1" : no matching NodeSelectorTerms'
    assert await world.refusal() == words


async def test_a_host_path_is_used_where_it_is(world: World) -> None:
    (world.folder / "data").mkdir()
    world.put(volume={"hostPath": {"path": str(world.folder / "data")}})
    assert await world.path(user(read_only=True)) == world.folder / "data"
    assert world.manager.mounted("u1")["v"].read_only
    await world.manager.clean("u1")
    assert (world.folder / "data").exists()


async def test_a_local_volume_that_is_missing(world: World) -> None:
    world.put(volume={"local": {"path": "/no/such"}})
    assert await world.refusal() == 'MountVolume.SetUp failed for volume "pv-1" : path "/no/such" does not exist'


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
async def test_a_local_folder_is_bound_below_the_pod_and_outlives_it(world: World) -> None:
    folder = world.folder / "disk"
    folder.mkdir()
    (folder / "file").write_text("kept")
    world.put(volume={"local": {"path": str(folder)}})
    path = await world.path(user(securityContext={"fsGroup": 2000}))
    assert path == world.folder / "pods/u1/volumes/kubernetes.io~local-volume/pv-1"
    assert (path / "file").read_text() == "kept"
    assert (folder / "file").stat().st_gid == 2000
    assert await world.path() == path
    assert [str(p) for p in mounts_below(path)] == [str(path)]
    await world.manager.clean("u1")
    assert not is_mounted(path)
    assert not path.exists()
    assert (folder / "file").read_text() == "kept"


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
async def test_a_local_folder_may_be_read_only(world: World) -> None:
    folder = world.folder / "disk"
    folder.mkdir()
    world.put(volume={"local": {"path": str(folder)}, "mountOptions": ["noexec"]})
    path = await world.path(user(read_only=True))
    with pytest.raises(OSError, match="Read-only"):
        (path / "file").write_text("x")
    line = next(line for line in Path("/proc/self/mounts").read_text().splitlines() if line.split(" ")[1] == str(path))
    assert {"ro", "noexec"} <= set(line.split(" ")[3].split(","))


def test_sharing_is_the_deepest_mounts() -> None:
    line = "{} 1 0:1 / {} rw - ext4 /dev/x rw".format
    shared = "{} 1 0:1 / {} rw shared:7 - ext4 /dev/x rw".format
    table = "\n".join([line(1, "/"), shared(2, "/data"), line(3, "/data/deep")])
    assert not is_shared(Path("/elsewhere"), table)
    assert is_shared(Path("/data/kubelet"), table)
    assert not is_shared(Path("/data/deep/er"), table)
    assert is_shared(Path("/data/deep"), table + "\n" + shared(4, "/data/deep"))


@pytest.fixture
def device(tmp_path: Path) -> Any:
    """A blank block device of 16 MiB."""
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(16 << 20)
    made = subprocess.run(["losetup", "-f", "--show", str(image)], capture_output=True, text=True, check=True)
    yield Path(made.stdout.strip())
    for point in mounts_below(tmp_path):
        unmount(point)
    subprocess.run(["losetup", "-d", made.stdout.strip()], check=False)


needs_loops = pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/dev/loop-control").exists() or shutil.which("losetup") is None,
    reason="needs root and loop devices",
)


@pytest.mark.root
@needs_loops
async def test_a_local_device_gets_a_file_system_once_and_is_shared_by_pods(world: World, device: Path) -> None:
    world.put(volume={"local": {"path": str(device), "fsType": "ext4"}, "mountOptions": ["noatime"]})
    path = await world.path()
    (path / "file").write_text("kept")
    await world.manager.prepare(user(uid="u2"))
    assert (world.manager.mounted("u2")["v"].path / "file").read_text() == "kept"
    shared = world.folder / "plugins/kubernetes.io/local-volume/mounts/pv-1"
    await world.manager.clean("u1")
    await world.local.release_unused()
    assert is_mounted(shared), "another pod has it"
    await world.manager.clean("u2")
    await world.local.release_unused()
    assert not is_mounted(shared)
    assert ((await world.path()) / "file").read_text() == "kept"


@pytest.mark.root
@needs_loops
async def test_a_local_device_may_be_handed_out_as_it_is(world: World, device: Path) -> None:
    world.put(volume={"local": {"path": str(device)}, "volumeMode": "Block"})
    assert (
        await world.path(user(containers=[container("web", volumeDevices=[{"name": "v", "devicePath": "/x"}])]))
        == device
    )
    assert world.manager.mounted("u1")["v"].device
