"""What classes and claims mean to a CSI driver."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.api import codec
from tiphys.api.types.core_v1 import Node, PersistentVolume, PersistentVolumeClaim
from tiphys.api.types.storage_v1 import CSINode, StorageClass
from tiphys.controllers.csi.driver import sanitized
from tiphys.controllers.csi.reconcile import (
    PROVISIONER_FINALIZER,
    Misconfigured,
    Parameters,
    is_ours,
    may_delete,
    new_volume,
    parameters,
    places,
    quantity_of,
    segments_of,
)

DRIVER = "d.example.org"
ZONES = ({"zone": "a"}, {"zone": "b"}, {"zone": "c"})


def claim(annotations: dict[str, str] | None = None, **spec: Any) -> PersistentVolumeClaim:
    marks = {"volume.kubernetes.io/storage-provisioner": DRIVER, **(annotations or {})}
    meta = {"name": "data", "namespace": "ns", "uid": "u-1", "annotations": marks}
    body = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "disk"}
    return codec.from_dict(PersistentVolumeClaim, {"metadata": meta, "spec": body | spec})


def storage_class(delayed: bool = False, **more: Any) -> StorageClass:
    mode = "WaitForFirstConsumer" if delayed else "Immediate"
    body = {"metadata": {"name": "disk"}, "provisioner": DRIVER, "volumeBindingMode": mode, "reclaimPolicy": "Delete"}
    return codec.from_dict(StorageClass, body | more)


def test_claims_are_provisioned_by_who_is_asked_to_and_when() -> None:
    assert is_ours(claim(), storage_class(), DRIVER)
    assert not is_ours(claim(), storage_class(), "other.example.org")
    assert not is_ours(claim({"volume.kubernetes.io/storage-provisioner": "other"}), storage_class(), DRIVER)
    assert not is_ours(claim(volumeName="v"), storage_class(), DRIVER)
    assert not is_ours(claim(), None, DRIVER)
    assert not is_ours(claim(), storage_class(delayed=True), DRIVER)
    assert is_ours(claim({"volume.kubernetes.io/selected-node": "n"}), storage_class(delayed=True), DRIVER)


def test_parameters_are_the_drivers_but_for_ours() -> None:
    given = parameters(
        storage_class(
            parameters={
                "type": "fast",
                "csi.storage.k8s.io/fstype": "xfs",
                "csi.storage.k8s.io/node-stage-secret-name": "${pvc.name}-${pvc.annotations['team']}",
                "csi.storage.k8s.io/node-stage-secret-namespace": "${pvc.namespace}",
            }
        ),
        claim({"team": "red"}),
    )
    assert given.driver == {"type": "fast"}
    assert given.fs_type == "xfs"
    secret = given.secrets["node-stage-secret"]
    assert (secret.name, secret.namespace) == ("data-red", "ns")


@pytest.mark.parametrize(
    "wrong",
    [
        {"csi.storage.k8s.io/node-stage-secret-name": "only"},
        {"csi.storage.k8s.io/unheard-of": "x"},
        {
            "csi.storage.k8s.io/provisioner-secret-name": "${no.such}",
            "csi.storage.k8s.io/provisioner-secret-namespace": "x",
        },
    ],
)
def test_parameters_that_cannot_be_meant(wrong: dict[str, str]) -> None:
    with pytest.raises(Misconfigured):
        parameters(storage_class(parameters=wrong), claim())


def test_a_nodes_place_is_known_once_its_driver_is() -> None:
    node = codec.from_dict(Node, {"metadata": {"name": "n", "labels": {"zone": "a", "other": "x"}}})
    driver = {"name": DRIVER, "nodeID": "n", "topologyKeys": ["zone"]}
    csi_node = codec.from_dict(CSINode, {"spec": {"drivers": [driver]}})
    assert segments_of(node, csi_node, DRIVER) == {"zone": "a"}
    assert segments_of(node, None, DRIVER) is None
    assert segments_of(node, csi_node, "other") is None
    unlabelled = codec.from_dict(Node, {"metadata": {"name": "n"}})
    assert segments_of(unlabelled, csi_node, DRIVER) is None


def test_strictly_where_the_pod_is_or_there_first() -> None:
    strict = places(storage_class(), ZONES[1], ZONES, strict=True, seed=0)
    assert strict is not None
    assert (strict.requisite, strict.preferred) == (({"zone": "b"},), ({"zone": "b"},))
    loose = places(storage_class(), ZONES[1], ZONES, strict=False, seed=0)
    assert loose is not None
    assert loose.requisite == ZONES
    assert loose.preferred == ({"zone": "b"}, {"zone": "c"}, {"zone": "a"})


def test_anywhere_allowed_in_turn() -> None:
    for seed, first in ((0, "a"), (1, "b"), (5, "c")):
        found = places(storage_class(), None, ZONES, strict=True, seed=seed)
        assert found is not None
        assert found.preferred[0] == {"zone": first}
    allowed = storage_class(allowedTopologies=[{"matchLabelExpressions": [{"key": "zone", "values": ["c"]}]}])
    found = places(allowed, None, ZONES, strict=True, seed=7)
    assert found is not None
    assert found.requisite == ({"zone": "c"},)
    with pytest.raises(Misconfigured):
        places(allowed, ZONES[0], ZONES, strict=True, seed=0)
    assert places(storage_class(), None, (), strict=True, seed=0) is None


def made(**more: Any) -> PersistentVolume:
    return new_volume(
        more.pop("claim", claim()),
        more.pop("storage_class", storage_class(mountOptions=["noatime"])),
        Parameters({}, "xfs"),
        driver=DRIVER,
        identity="me",
        handle="h-1",
        size_bytes=more.pop("size_bytes", 2 << 30),
        context={"a": "b"},
        accessible=[{"zone": "a"}],
    )


def test_the_object_of_a_new_volume() -> None:
    volume = made()
    assert volume.metadata.name == "pvc-u-1"
    assert volume.metadata.annotations == {"pv.kubernetes.io/provisioned-by": DRIVER}
    assert volume.metadata.finalizers == (PROVISIONER_FINALIZER,)
    spec = codec.to_dict(volume.spec)
    assert spec["capacity"] == {"storage": "2Gi"}
    assert spec["claimRef"]["uid"] == "u-1"
    assert spec["csi"]["volumeHandle"] == "h-1"
    assert spec["csi"]["fsType"] == "xfs"
    assert spec["csi"]["volumeAttributes"] == {"a": "b", "storage.kubernetes.io/csiProvisionerIdentity": "me"}
    assert spec["mountOptions"] == ["noatime"]
    expression = {"key": "zone", "operator": "In", "values": ["a"]}
    assert spec["nodeAffinity"]["required"]["nodeSelectorTerms"] == [{"matchExpressions": [expression]}]
    retained = made(storage_class=storage_class(reclaimPolicy="Retain"))
    assert retained.metadata.finalizers == ()
    block = made(claim=claim(volumeMode="Block"))
    assert block.spec.csi is not None
    assert block.spec.csi.fs_type is None


def test_only_released_volumes_of_ours_are_deleted() -> None:
    volume = made()
    assert not may_delete(volume, DRIVER)
    volume.status.phase = "Released"
    assert may_delete(volume, DRIVER)
    assert not may_delete(volume, "other")
    volume.metadata.deletion_timestamp = "2026-01-01T00:00:00Z"
    assert may_delete(volume, DRIVER)
    volume.metadata.finalizers = ()
    assert not may_delete(volume, DRIVER)


def test_names_and_sizes() -> None:
    assert sanitized("disk.csi.example.org") == "disk-csi-example-org"
    assert sanitized("x.") == "x-X"
    assert [str(quantity_of(n)) for n in (1 << 30, 300 << 20, 1500, 0)] == ["1Gi", "300Mi", "1500", "0"]
