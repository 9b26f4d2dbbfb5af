"""Pods that wait for volumes."""

from __future__ import annotations

from typing import Any

from tests.unit.scheduler.explaining.clusters import on, texts, why
from tests.unit.scheduler.objects import node, pod
from tiphys.api.codec import from_dict
from tiphys.api.types.core_v1 import PersistentVolume, PersistentVolumeClaim, Pod
from tiphys.api.types.storage_v1 import StorageClass

ZONE = "topology.kubernetes.io/zone"


def using(claim: str, name: str = "p", **fields: Any) -> Pod:
    return pod(name, volumes=(_volume(claim),), **fields)


def _volume(claim: str) -> Any:
    return from_dict(
        Pod, {"spec": {"volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": claim}}]}}
    ).spec.volumes[0]


def claim(name: str, storage_class: str | None = None, *, volume: str = "", mode: str = "ReadWriteOnce") -> Any:
    bound = {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}} if volume else {}
    spec: dict[str, Any] = {"accessModes": [mode], "resources": {"requests": {"storage": "5Gi"}}}
    if storage_class is not None:
        spec["storageClassName"] = storage_class
    if volume:
        spec["volumeName"] = volume
    meta = {"name": name, "namespace": "default", **bound}
    return from_dict(PersistentVolumeClaim, {"metadata": meta, "spec": spec, "status": {"phase": "Pending"}})


def storage_class(name: str, mode: str, provisioner: str = "csi.example.com") -> StorageClass:
    return from_dict(StorageClass, {"metadata": {"name": name}, "provisioner": provisioner, "volumeBindingMode": mode})


def zonal(name: str, zone: str) -> PersistentVolume:
    term = {"matchExpressions": [{"key": ZONE, "operator": "In", "values": [zone]}]}
    affinity = {"required": {"nodeSelectorTerms": [term]}}
    return from_dict(PersistentVolume, {"metadata": {"name": name}, "spec": {"nodeAffinity": affinity}})


def test_a_claim_that_is_not_there() -> None:
    explanation = why(using("data"), node("n1"), storage_class("fast", "WaitForFirstConsumer"))
    assert explanation.reasons[0].reason == 'persistentvolumeclaim "data" not found'
    assert texts(explanation) == ["create the PersistentVolumeClaim data, for example of StorageClass fast"]
    explanation = why(using("data"), node("n1"), storage_class("slow", "Immediate"))
    assert texts(explanation) == ["create the PersistentVolumeClaim data, for example of StorageClass slow"]


def test_nobody_makes_volumes() -> None:
    explanation = why(using("data"), node("n1"))
    said = "create the PersistentVolumeClaim data with a PersistentVolume for it (no StorageClass makes volumes)"
    assert texts(explanation) == [said]
    assert [change.kind for change in explanation.remedies[0].changes] == ["PersistentVolumeClaim", "PersistentVolume"]


def test_an_unbound_claim_says_for_whom_it_waits() -> None:
    waiting = using("data")
    missing = why(waiting, node("n1"), claim("data", "gone"))
    assert missing.notes == (
        "The claim data asks for StorageClass gone, which does not exist (there is: none at all).",
    )
    made = why(waiting, node("n1"), claim("data", "slow"), storage_class("slow", "Immediate"))
    assert "waits for csi.example.com to make its volume" in made.notes[0]
    nobody = why(waiting, node("n1"), claim("data"))
    assert nobody.notes == ("The claim data names no StorageClass, and none is marked as the default.",)
    assert "create a PersistentVolume of 5Gi (ReadWriteOnce) for the claim data" in texts(nobody)[0]


def test_a_local_volume_that_no_node_has() -> None:
    local = storage_class("local", "WaitForFirstConsumer", "kubernetes.io/no-provisioner")
    explanation = why(using("data"), node("n1"), claim("data", "local"), local)
    (reason,) = explanation.reasons
    assert reason.reason == "node(s) didn't find available persistent volumes to bind"
    assert texts(explanation)[0].startswith("create a PersistentVolume of 5Gi (ReadWriteOnce, StorageClass local)")


def test_a_volume_in_another_zone() -> None:
    objects = [node("n1", zone="a"), node("n2", zone="b", cpu="1"), claim("data", "x", volume="v"), zonal("v", "b")]
    explanation = why(using("data", cpu="2"), *objects)
    conflict = next(reason for reason in explanation.reasons if reason.plugin == "VolumeBinding")
    assert conflict.nodes == 1
    assert conflict.detail == "claim data: volume v, and 1 node can reach it (n2)"
    assert texts(explanation)[0] == "lower the cpu request from 2 to 1"
    assert explanation.remedies[0].examples == ("n2",)


def test_a_claim_for_one_pod() -> None:
    mine = claim("data", "x", volume="v", mode="ReadWriteOncePod")
    volume = from_dict(PersistentVolume, {"metadata": {"name": "v"}})
    explanation = why(using("data"), node("n1"), node("n2"), mine, volume, on("n1", using("data", "other")))
    assert texts(explanation) == ["remove pod default/other, which may be the only user of the claim"]


def test_a_missing_claim_and_too_large_a_request() -> None:
    explanation = why(using("data", cpu="9"), node("n1"), storage_class("fast", "WaitForFirstConsumer"))
    assert texts(explanation) == [
        "create the PersistentVolumeClaim data, for example of StorageClass fast, and lower the cpu request from 9 to 4"
    ]
