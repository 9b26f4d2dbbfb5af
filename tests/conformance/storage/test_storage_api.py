"""The API of storage kinds with all controllers running: lifecycles, statuses, discovery."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from msgspec.structs import replace

from tests.simulation.controllers.world import World, world
from tiphys.api.errors import ApiError
from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import (
    CSIPersistentVolumeSource,
    CSIVolumeSource,
    PersistentVolume,
    PersistentVolumeClaim,
    PersistentVolumeClaimCondition,
    PersistentVolumeClaimSpec,
    PersistentVolumeSpec,
    Pod,
    ResourceQuota,
    ResourceQuotaSpec,
    Volume,
    VolumeResourceRequirements,
)
from tiphys.api.types.meta_v1 import LabelSelector, ObjectMeta
from tiphys.api.types.storage_v1 import (
    CSIDriver,
    CSIDriverSpec,
    CSINode,
    CSINodeDriver,
    CSINodeSpec,
    CSIStorageCapacity,
    StorageClass,
    VolumeAttachment,
    VolumeAttachmentSource,
    VolumeAttachmentSpec,
    VolumeAttributesClass,
)
from tiphys.testing import builders, virtual_time

LABELS = {"e2e": "storage"}


def meta(name: str, namespace: str = "") -> ObjectMeta:
    return ObjectMeta(name=name, namespace=namespace or None, labels=dict(LABELS))


def volume(name: str) -> PersistentVolume:
    spec = PersistentVolumeSpec(
        access_modes=("ReadWriteOnce",),
        capacity={"storage": Quantity("1Gi")},
        csi=CSIPersistentVolumeSource(driver="e2e.csi", volume_handle=name),
        storage_class_name="e2e",
        persistent_volume_reclaim_policy="Retain",
    )
    return PersistentVolume(metadata=meta(name), spec=spec)


def claim(name: str) -> PersistentVolumeClaim:
    spec = PersistentVolumeClaimSpec(
        access_modes=("ReadWriteOnce",),
        resources=VolumeResourceRequirements(requests={"storage": Quantity("1Gi")}),
        storage_class_name="e2e",
    )
    return PersistentVolumeClaim(metadata=meta(name, "x"), spec=spec)


def attachment(name: str) -> VolumeAttachment:
    source = VolumeAttachmentSource(persistent_volume_name="pv-of-nobody")
    return VolumeAttachment(
        metadata=meta(name), spec=VolumeAttachmentSpec(attacher="e2e.csi", node_name="node-of-nobody", source=source)
    )


def csi_node(name: str) -> CSINode:
    driver = CSINodeDriver(name="e2e.csi", node_id="n", topology_keys=())
    return CSINode(metadata=meta(name), spec=CSINodeSpec(drivers=(driver,)))


def capacity(name: str) -> CSIStorageCapacity:
    return CSIStorageCapacity(
        metadata=meta(name, "x"),
        storage_class_name="e2e",
        capacity=Quantity("100Gi"),
        node_topology=LabelSelector(match_labels={"zone": "z1"}),
    )


def inline(name: str) -> Pod:
    source = CSIVolumeSource(driver="e2e.csi", volume_attributes={"size": "1Mi"})
    made = builders.pod(name, namespace="x", labels=dict(LABELS))
    # Nobody runs it: it is the API that is looked at.
    spec = replace(made.spec, volumes=(Volume(name="v", csi=source),), scheduler_name="nobody")
    return replace(made, spec=spec)


KINDS: dict[str, Callable[[str], Any]] = {
    "[sig-storage] CSIInlineVolumes should run through the lifecycle of a CSIDriver [Conformance]": lambda name: (
        CSIDriver(metadata=meta(name), spec=CSIDriverSpec(attach_required=False))
    ),
    "[sig-storage] CSIInlineVolumes should support CSIVolumeSource in Pod API [Conformance]": inline,
    "[sig-storage] CSINodes CSI Conformance should run through the lifecycle of a csinode [Conformance]": csi_node,
    "[sig-storage] CSIStorageCapacity should support CSIStorageCapacities API operations [Conformance]": capacity,
    "[sig-storage] StorageClasses CSI Conformance should run through the lifecycle of a StorageClass [Conformance]": (
        lambda name: StorageClass(metadata=meta(name), provisioner="e2e.csi")
    ),
    "[sig-storage] VolumeAttachment Conformance should run through the lifecycle of a VolumeAttachment [Conformance]": (
        attachment
    ),
    "[sig-storage] VolumeAttributesClass [FeatureGate:VolumeAttributesClass] should run through the lifecycle of a "
    "VolumeAttributesClass [Conformance]": lambda name: VolumeAttributesClass(
        metadata=meta(name), driver_name="e2e.csi", parameters={"iops": "1"}
    ),
    "[sig-storage] PersistentVolumes CSI Conformance should run through the lifecycle of a PV and a PVC [Conformance]"
    " (volume)": volume,
    "[sig-storage] PersistentVolumes CSI Conformance should run through the lifecycle of a PV and a PVC [Conformance]"
    " (claim)": claim,
}


async def labelled(w: World, kind: type[Any], namespace: str, **labels: str) -> list[str]:
    text = ",".join(f"{key}={value}" for key, value in labels.items())
    found = await w.client.list(kind, namespace, label_selector=text)
    return sorted(obj.metadata.name for obj in found.items)


@pytest.mark.parametrize("codename", KINDS)
def test_lifecycle(codename: str) -> None:
    made = KINDS[codename]
    first = made("first")
    kind, namespace = type(first), first.metadata.namespace or ""

    async def scenario() -> None:
        async with world() as w:
            client = w.client
            created = await client.create(first)
            assert (await client.get(kind, "first", namespace)).metadata.uid == created.metadata.uid
            patched = await client.patch(
                kind, "first", namespace, {"metadata": {"labels": {"first": "patched"}}}, type="strategic"
            )
            assert patched.metadata.labels["first"] == "patched"
            assert await labelled(w, kind, namespace, first="patched") == ["first"]
            await client.delete(kind, "first", namespace)
            await w.until(lambda: w.is_gone(kind, "first", namespace), seconds=60)
            replacement = await client.create(made("second"))

            async def updated() -> bool:
                current = await client.get(kind, "second", namespace)
                current.metadata.labels = {**current.metadata.labels, "second": "updated"}
                try:
                    return bool((await client.update(current)).metadata.labels["second"] == "updated")
                except ApiError as error:
                    assert error.code == 409
                    return False

            await w.until(updated, seconds=60)
            assert (await client.get(kind, "second", namespace)).metadata.uid == replacement.metadata.uid
            await client.create(made("third"))
            assert await labelled(w, kind, namespace, **LABELS) == ["second", "third"]
            await client.delete_collection(kind, namespace, label_selector="e2e=storage")

            async def none_left() -> bool:
                return not await labelled(w, kind, namespace, **LABELS)

            await w.until(none_left, seconds=60)

    virtual_time.run(scenario())


async def phase(w: World, kind: type[Any], name: str, namespace: str, wanted: str) -> Any:
    async def reached() -> bool:
        return bool((await w.client.get(kind, name, namespace)).status.phase == wanted)

    await w.until(reached, seconds=60)
    return await w.client.get(kind, name, namespace)


async def again(w: World, act: Callable[[], Awaitable[Any]]) -> Any:
    """What a client does on a conflict: look and try again."""
    found: list[Any] = []

    async def tried() -> bool:
        try:
            found.append(await act())
        except ApiError as error:
            assert error.code == 409
            return False
        return True

    await w.until(tried, seconds=30)
    return found[-1]


def test_statuses_of_a_volume_and_a_claim() -> None:
    """[sig-storage] PersistentVolumes CSI Conformance should apply changes to a pv/pvc status [Conformance]"""

    async def scenario() -> None:
        async with world() as w:
            client = w.client
            await client.create(volume("pv"))
            await client.create(claim("pvc"))
            assert await labelled(w, PersistentVolume, "", **LABELS) == ["pv"]
            assert await labelled(w, PersistentVolumeClaim, "x", **LABELS) == ["pvc"]
            await phase(w, PersistentVolumeClaim, "pvc", "x", "Bound")
            await phase(w, PersistentVolume, "pv", "", "Bound")
            condition = {"type": "StatusPatched", "status": "True", "reason": "E2E", "message": "Set by a test"}
            patched = await client.patch(
                PersistentVolumeClaim, "pvc", "x", {"status": {"conditions": [condition]}}, subresource="status"
            )
            assert [c.type for c in patched.status.conditions] == ["StatusPatched"]
            body = {"status": {"message": "StatusPatched", "reason": "E2E patchStatus"}}
            pv = await client.patch(PersistentVolume, "pv", "", body, subresource="status")
            assert (pv.status.message, pv.status.reason) == ("StatusPatched", "E2E patchStatus")

            async def update_claim() -> PersistentVolumeClaim:
                current = await client.get(PersistentVolumeClaim, "pvc", "x")
                new = PersistentVolumeClaimCondition(type="StatusUpdated", status="True")
                current.status.conditions = (*current.status.conditions, new)
                return await client.update_status(current)

            updated = await again(w, update_claim)
            assert [c.type for c in updated.status.conditions] == ["StatusPatched", "StatusUpdated"]

            async def update_volume() -> PersistentVolume:
                current = await client.get(PersistentVolume, "pv")
                current.status.reason, current.status.message = "E2E updateStatus", "StatusUpdated"
                return await client.update_status(current)

            pv = await again(w, update_volume)
            assert (pv.status.message, pv.status.reason, pv.status.phase) == (
                "StatusUpdated",
                "E2E updateStatus",
                "Bound",
            )

    virtual_time.run(scenario())


def test_status_of_an_attachment() -> None:
    """[sig-storage] VolumeAttachment Conformance should apply changes to a volumeattachment status [Conformance]"""

    async def scenario() -> None:
        async with world() as w:
            client = w.client
            await client.create(attachment("va"))
            body = {"metadata": {"labels": {"va": "patched"}}}
            await client.patch(VolumeAttachment, "va", "", body)
            assert (await client.get(VolumeAttachment, "va", subresource="status")).status.attached is False
            on = await client.patch(VolumeAttachment, "va", "", {"status": {"attached": True}}, subresource="status")
            assert on.status.attached is True
            on.status.attached = False
            assert (await client.update_status(on)).status.attached is False
            await client.delete(VolumeAttachment, "va")
            await w.until(lambda: w.is_gone(VolumeAttachment, "va", ""), seconds=60)

    virtual_time.run(scenario())


def test_capacities_are_discovered_and_watched() -> None:
    """[sig-storage] CSIStorageCapacity should support CSIStorageCapacities API operations [Conformance]"""

    async def scenario() -> None:
        async with world() as w:
            client = w.client
            groups = json.loads((await client.raw("GET", "/apis")).body)["groups"]
            assert "storage.k8s.io" in {group["name"] for group in groups}
            resources = json.loads((await client.raw("GET", "/apis/storage.k8s.io/v1")).body)["resources"]
            (found,) = [r for r in resources if r["name"] == "csistoragecapacities"]
            assert {"create", "get", "list", "watch", "update", "patch", "delete", "deletecollection"} <= set(
                found["verbs"]
            )
            version = (await client.list(CSIStorageCapacity, "x")).metadata.resource_version or ""
            await client.create(capacity("c"))
            await client.patch(CSIStorageCapacity, "c", "x", {"metadata": {"annotations": {"patched": "true"}}})
            await client.delete(CSIStorageCapacity, "c", "x")
            seen = []
            async for event in client.watch(CSIStorageCapacity, "x", resource_version=version, timeout_seconds=5):
                seen.append(event.type)
                if event.type == "DELETED":
                    break
            assert seen == ["ADDED", "MODIFIED", "DELETED"]

    virtual_time.run(scenario())


def test_what_a_claim_may_change() -> None:
    """What bound claims may and may not have changed about them."""

    async def scenario() -> None:
        async with world() as w:
            client = w.client
            await client.create(StorageClass(metadata=meta("e2e"), provisioner="e2e.csi", allow_volume_expansion=True))
            await client.create(volume("pv"))
            made = claim("pvc")
            made.spec.volume_attributes_class_name = None
            await client.create(made)
            await phase(w, PersistentVolumeClaim, "pvc", "x", "Bound")

            async def change(spec: dict[str, Any]) -> Any:
                return await client.patch(PersistentVolumeClaim, "pvc", "x", {"spec": spec})

            await change({"resources": {"requests": {"storage": "3Gi"}}})
            # It may be taken back as long as it is more than what is there.
            await change({"resources": {"requests": {"storage": "2Gi"}}})
            with pytest.raises(ApiError, match=r"field can not be less than status\.capacity"):
                await change({"resources": {"requests": {"storage": "1Gi"}}})
            await change({"volumeAttributesClassName": "gold"})
            # Taken back before anything came of it, or else not at all.
            await change({"volumeAttributesClassName": None})
            await change({"volumeAttributesClassName": "gold"})
            current = {"status": {"currentVolumeAttributesClassName": "gold"}}
            await client.patch(PersistentVolumeClaim, "pvc", "x", current, subresource="status")
            with pytest.raises(ApiError, match="update to nil is forbidden when"):
                await change({"volumeAttributesClassName": None})
            for spec in ({"accessModes": ["ReadWriteMany"]}, {"storageClassName": "other"}, {"volumeName": "other"}):
                with pytest.raises(ApiError, match="spec is immutable after creation except"):
                    await change(spec)

    virtual_time.run(scenario())


def test_quotas_of_storage() -> None:
    """Claims count for a namespace and for their class, when they are made and when they grow."""

    async def scenario() -> None:
        async with world() as w:
            client = w.client
            await client.create(StorageClass(metadata=meta("e2e"), provisioner="e2e.csi", allow_volume_expansion=True))
            hard = {
                "requests.storage": Quantity("10Gi"),
                "e2e.storageclass.storage.k8s.io/requests.storage": Quantity("3Gi"),
                "e2e.storageclass.storage.k8s.io/persistentvolumeclaims": Quantity("2"),
                "other.storageclass.storage.k8s.io/requests.storage": Quantity("500Mi"),
            }
            made = ResourceQuota(metadata=ObjectMeta(name="q", namespace="x"), spec=ResourceQuotaSpec(hard=hard))
            await client.create(made)
            await client.create(volume("pv"))
            await client.create(claim("one"))
            await phase(w, PersistentVolumeClaim, "one", "x", "Bound")
            larger = {"spec": {"resources": {"requests": {"storage": "4Gi"}}}}
            with pytest.raises(ApiError, match=r"exceeded quota: q, requested: e2e\.storageclass\.storage"):
                await client.patch(PersistentVolumeClaim, "one", "x", larger)
            other = claim("other")
            other.spec.storage_class_name = "other"
            with pytest.raises(ApiError, match=r"other\.storageclass\.storage\.k8s\.io/requests\.storage=1Gi"):
                await client.create(other)
            await client.create(claim("two"))
            with pytest.raises(ApiError, match=r"persistentvolumeclaims=1, used: .*persistentvolumeclaims=2"):
                await client.create(claim("three"))

            async def counted() -> bool:
                used = (await client.get(ResourceQuota, "q", "x")).status.used
                return used == {
                    "requests.storage": "2Gi",
                    "e2e.storageclass.storage.k8s.io/requests.storage": "2Gi",
                    "e2e.storageclass.storage.k8s.io/persistentvolumeclaims": "2",
                    "other.storageclass.storage.k8s.io/requests.storage": "0",
                }

            await w.until(counted, seconds=60)

    virtual_time.run(scenario())
