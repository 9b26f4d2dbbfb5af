"""What the kubelet decides about CSI volumes, and what it writes down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.kubelet.player import Player, pod
from tiphys.api import codec
from tiphys.api.csi_volumes import attachment_name, unique_name
from tiphys.api.types.core_v1 import CSIVolumeSource, PersistentVolume, PersistentVolumeClaim, Pod
from tiphys.api.types.storage_v1 import CSIDriver
from tiphys.csi.volume_access import access_mode
from tiphys.csi.wire import AccessMode
from tiphys.kubelet.lifecycle import events
from tiphys.kubelet.lifecycle import instructions as do
from tiphys.kubelet.lifecycle.machine import VOLUMES_WAIT_SECONDS
from tiphys.kubelet.volumes.claims import Claimed
from tiphys.kubelet.volumes.csi import facts
from tiphys.kubelet.volumes.csi.layout import CsiLayout, VolumeRecord, forget, write_record
from tiphys.kubelet.volumes.csi.stages import Stages
from tiphys.kubelet.volumes.csi.volume import CsiVolume, inline, of_claim
from tiphys.kubelet.volumes.node_volumes import NodeVolumes
from tiphys.kubelet.volumes.payload import VolumeError
from tiphys.kubelet.volumes.tokens import Token


def volume(read_only: bool = False, fs_type: str = "ext4", **spec: Any) -> CsiVolume:
    source = {"driver": "d.example.org", "volumeHandle": "h-1", "fsType": fs_type, "volumeAttributes": {"a": "b"}}
    body = {"metadata": {"name": "pv-1"}, "spec": {"csi": source, "accessModes": ["ReadWriteOnce"], **spec}}
    found = codec.from_dict(PersistentVolume, body)
    return of_claim(Claimed(found, PersistentVolumeClaim(), read_only), "v")


def driver(**spec: Any) -> facts.DriverFacts:
    return facts.of_object("d.example.org", codec.from_dict(CSIDriver, {"spec": spec}))


@pytest.mark.parametrize(
    ("modes", "multi", "expected"),
    [
        (["ReadWriteOnce"], False, AccessMode.SINGLE_NODE_WRITER),
        (["ReadWriteOnce"], True, AccessMode.SINGLE_NODE_MULTI_WRITER),
        (["ReadWriteOncePod"], False, AccessMode.SINGLE_NODE_WRITER),
        (["ReadWriteOncePod"], True, AccessMode.SINGLE_NODE_SINGLE_WRITER),
        (["ReadOnlyMany"], True, AccessMode.MULTI_NODE_READER_ONLY),
        (["ReadWriteOnce", "ReadOnlyMany"], True, AccessMode.MULTI_NODE_SINGLE_WRITER),
        (["ReadWriteOnce", "ReadWriteMany"], False, AccessMode.MULTI_NODE_MULTI_WRITER),
    ],
)
def test_access_modes(modes: list[str], multi: bool, expected: AccessMode) -> None:
    assert access_mode(modes, multi_writer=multi) is expected


def test_names_others_must_agree_on() -> None:
    assert unique_name("d.example.org", "h-1") == "kubernetes.io/csi/d.example.org^h-1"
    name = attachment_name("h-1", "d.example.org", "n1")
    assert name.startswith("csi-")
    assert len(name) == 4 + 64
    assert name != attachment_name("h-1", "d.example.org", "n2")


def test_lifecycle_modes() -> None:
    own = inline(pod(), "v", CSIVolumeSource(driver="d.example.org", volume_attributes={"x": "y"}))
    facts.check_lifecycle_mode(volume(), facts.of_object("d.example.org", None))
    facts.check_lifecycle_mode(own, driver(volumeLifecycleModes=["Persistent", "Ephemeral"]))
    for wrong in (facts.of_object("d.example.org", None), driver()):
        with pytest.raises(VolumeError, match='volume mode "Ephemeral" not supported'):
            facts.check_lifecycle_mode(own, wrong)
    with pytest.raises(VolumeError, match=r'only supports \["Ephemeral"\]'):
        facts.check_lifecycle_mode(volume(), driver(volumeLifecycleModes=["Ephemeral"]))


def test_whose_files_are_given_to_the_group() -> None:
    default = driver()
    assert facts.gives_to_group(volume(), default)
    assert not facts.gives_to_group(volume(fs_type=""), default)
    assert not facts.gives_to_group(volume(accessModes=["ReadWriteMany"]), default)
    assert not facts.gives_to_group(volume(), driver(fsGroupPolicy="None"))
    everything = driver(fsGroupPolicy="File")
    assert facts.gives_to_group(volume(accessModes=["ReadWriteMany"], fs_type=""), everything)
    assert not facts.gives_to_group(volume(read_only=True), everything)
    assert not facts.gives_to_group(volume(volumeMode="Block"), everything)


def test_drivers_are_told_of_pods_if_they_ask() -> None:
    assert facts.pod_attributes(volume(), pod(), driver()) == {}
    told = facts.pod_attributes(volume(), pod({"serviceAccountName": "sa"}), driver(podInfoOnMount=True))
    assert told == {
        "csi.storage.k8s.io/pod.name": "p",
        "csi.storage.k8s.io/pod.namespace": "ns",
        "csi.storage.k8s.io/pod.uid": "u1",
        "csi.storage.k8s.io/serviceAccount.name": "sa",
        "csi.storage.k8s.io/ephemeral": "false",
    }


class Minted:
    """Tokens that say whom they are for."""

    async def get(self, subject: Pod, audience: str, expiration_seconds: int) -> Token:
        return Token(f"{subject.metadata.name}-{audience}-{expiration_seconds}", 0.0, "2030-01-01T00:00:00Z")


async def test_tokens_for_the_audiences_a_driver_names() -> None:
    asking = driver(tokenRequests=[{"audience": "vault", "expirationSeconds": 600}, {"audience": ""}])
    tokens: Any = Minted()
    (name, text), *others = (await facts.token_attributes(pod(), asking, tokens)).items()
    assert others == []
    assert name == "csi.storage.k8s.io/serviceAccount.tokens"
    assert json.loads(text) == {
        "vault": {"token": "p-vault-600", "expirationTimestamp": "2030-01-01T00:00:00Z"},
        "": {"token": "p--3600", "expirationTimestamp": "2030-01-01T00:00:00Z"},
    }
    assert await facts.token_attributes(pod(), driver(), tokens) == {}


def test_places_are_upstreams(tmp_path: Path) -> None:
    layout = CsiLayout(tmp_path)
    plugin = tmp_path / "plugins/kubernetes.io/csi"
    assert layout.target(volume(), "u1") == tmp_path / "pods/u1/volumes/kubernetes.io~csi/pv-1/mount"
    staging = layout.staging(volume())
    assert staging.parent.parent == plugin / "d.example.org"
    assert (len(staging.parent.name), staging.name) == (64, "globalmount")
    block = volume(volumeMode="Block")
    assert layout.staging(block) == plugin / "volumeDevices/staging/pv-1"
    assert layout.target(block, "u1") == plugin / "volumeDevices/publish/pv-1/u1"


@pytest.mark.parametrize("mode", ["Filesystem", "Block"])
def test_what_is_written_down_is_found_by_the_next_kubelet(tmp_path: Path, mode: str) -> None:
    layout, subject = CsiLayout(tmp_path), volume(volumeMode=mode)
    record = VolumeRecord(name="pv-1", handle="h-1", driver="d.example.org", node_name="n1")
    write_record(layout.stage_folder(subject), record)
    write_record(layout.pod_folder(subject, "u1"), record)
    (staged,) = layout.staged()
    assert (staged.record, staged.staging) == (record, layout.staging(subject))
    (published,) = layout.all_published()
    assert (published.record, published.target) == (record, layout.target(subject, "u1"))
    node = NodeVolumes(lambda: None)
    stages = Stages(layout, node)
    assert node.in_use() == (record.unique,)
    assert stages.unused() == []
    stages.leave("u1")
    assert [unique for unique, _ in stages.unused()] == [record.unique]
    forget(staged.folder)
    forget(published.folder)
    assert (layout.staged(), layout.all_published()) == ([], [])


def test_a_damaged_record_is_no_volume(tmp_path: Path) -> None:
    folder = CsiLayout(tmp_path).pod_folder(volume(), "u1")
    folder.mkdir(parents=True)
    (folder / "vol_data.json").write_text("{")
    assert CsiLayout(tmp_path).published("u1") == []


def test_data_is_never_deleted_with_a_record(tmp_path: Path) -> None:
    folder = CsiLayout(tmp_path).pod_folder(volume(), "u1")
    (folder / "mount").mkdir(parents=True)
    (folder / "mount" / "precious").touch()
    with pytest.raises(OSError, match="not empty"):
        forget(folder)
    assert (folder / "mount" / "precious").exists()


def test_a_pod_waits_in_silence_for_its_volume_and_then_complains() -> None:
    player = Player(pod())
    player.hold.add(do.PrepareVolumes)
    subject = player.lifecycle
    out = subject.handle(events.VolumesWaiting("not yet"), 1000.0)
    assert [i for i in out if isinstance(i, do.Record)] == []
    assert any(isinstance(i, do.WakeAt) for i in out)
    subject.hurry()
    assert do.PrepareVolumes() in subject.handle(events.Tick(), 1001.0)
    out = subject.handle(events.VolumesWaiting("not yet"), 1000.0 + VOLUMES_WAIT_SECONDS)
    assert do.Record("Warning", "FailedMount", "not yet") in out
    again = subject.handle(events.VolumesWaiting("not yet"), 1001.0 + VOLUMES_WAIT_SECONDS)
    assert [i for i in again if isinstance(i, do.Record)] == []
