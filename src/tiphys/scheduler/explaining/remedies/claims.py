"""Volumes: a claim or a volume that is missing, a claim that only one pod may use, too many volumes on a node."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from tiphys.api import persistent_volumes as facts
from tiphys.api.types.core_v1 import PersistentVolumeClaim
from tiphys.scheduler.arrays import Ints
from tiphys.scheduler.cluster import PodKey
from tiphys.scheduler.explaining.explanation import Change
from tiphys.scheduler.explaining.groups import Group
from tiphys.scheduler.explaining.remedies.candidate import Candidate, Scene, called, delete_pods, listed
from tiphys.scheduler.template import PodInfo
from tiphys.scheduler.volumes import VolumeTable, provisionable

MAXIMUM_PODS: Final = 5
EXAMPLE_SIZE: Final = "1Gi"
_UNREACHED: Final = ("node(s) didn't find available persistent volumes to bind",)


def claims_and_volumes(scene: Scene) -> Iterator[Candidate]:
    """For claims that keep the pod from every node: make the claim, or the volume that it waits for."""
    table, namespace = scene.cluster.volumes, scene.template.namespace
    changes: list[Change] = []
    told: list[str] = []
    for use in scene.template.claims:
        claim = table.claims.get((namespace, use.name))
        if claim is None and not use.owner:
            found = _new_claim(namespace, use.name, table)
            changes += found[1]
            told.append(found[0])
        elif claim is not None and claim.metadata.deletion_timestamp is None and table.sort((claim,)).immediate:
            changes.append(_new_volume(claim))
            told.append(_volume_text(claim))
    if changes:
        kind = "CreateClaim" if changes[0].kind == "PersistentVolumeClaim" else "CreateVolume"
        yield Candidate(kind, " and ".join(told), tuple(changes), 3, None, len(told))


def notes(scene: Scene) -> list[str]:
    """What can be said of the pod's claims beyond the filters' words."""
    table, namespace = scene.cluster.volumes, scene.template.namespace
    said = []
    for use in scene.template.claims:
        claim = table.claims.get((namespace, use.name))
        if claim is None or not table.sort((claim,)).immediate:
            continue
        name = facts.class_of_claim(claim)
        storage_class = table.class_of(claim)
        if name and storage_class is None:
            there = listed(sorted(table.classes)) or "none at all"
            said.append(f"The claim {use.name} asks for StorageClass {name}, which does not exist (there is: {there}).")
        elif storage_class is not None and provisionable(storage_class):
            said.append(
                f"The claim {use.name} waits for {storage_class.provisioner} to make its volume; "
                f"the claim's events say how that goes."
            )
        elif not facts.names_a_class(claim) and facts.default_class(table.classes.values()) is None:
            said.append(f"The claim {use.name} names no StorageClass, and none is marked as the default.")
        else:
            said.append(f"The claim {use.name} waits for a PersistentVolume that has what it asks for.")
    return said


def volumes_on_nodes(scene: Scene, group: Group, rows: Ints) -> Iterator[Candidate]:
    """For claims that wait for the pod: a volume it could have."""
    if not any(reason.words in _UNREACHED for reason in group.reasons):
        return
    table, namespace = scene.cluster.volumes, scene.template.namespace
    for use in scene.template.claims:
        claim = table.claims.get((namespace, use.name))
        if claim is not None and table.sort((claim,)).delayed and not table.selected_node(claim):
            yield Candidate("CreateVolume", _volume_text(claim), (_new_volume(claim),), 4)


def only_user(scene: Scene, group: Group, rows: Ints) -> Iterator[Candidate]:
    """ReadWriteOncePod: without the pod that uses the claim."""
    pods: dict[PodKey, PodInfo] = {}
    for use in scene.template.claims:
        claim = scene.cluster.volumes.claims.get((scene.template.namespace, use.name))
        if claim is not None and facts.READ_WRITE_ONCE_POD in claim.spec.access_modes:
            for row in scene.cluster.claim_users.get((scene.template.namespace, use.name), {}):
                pods |= {pod.key: pod for pod in scene.cluster.pods_on[row].values() if use in pod.template.claims}
    if pods and len(pods) <= MAXIMUM_PODS:
        names = listed([called(pod) for pod in pods.values()])
        text = f"remove pod{'s' if len(pods) > 1 else ''} {names}, which may be the only user of the claim"
        yield Candidate("RemovePods", text, delete_pods(list(pods)), 6 + len(pods))


def fewer_volumes(scene: Scene, group: Group, rows: Ints) -> Iterator[Candidate]:
    """Too many volumes on a node: without one of the pods there that have some."""
    priority = scene.pod.spec.priority or 0
    for row in rows[:4]:
        users = [
            pod for pod in scene.cluster.pods_on[int(row)].values() if pod.template.claims and pod.priority <= priority
        ]
        for pod in sorted(users, key=lambda pod: (pod.priority, len(pod.template.claims), pod.key))[:3]:
            text = f"remove pod {called(pod)} with its volumes from node {scene.name(int(row))}"
            yield Candidate("RemovePods", text, delete_pods([pod.key]), 7, np.array([row]))


def _new_claim(namespace: str, name: str, table: VolumeTable) -> tuple[str, list[Change]]:
    classes = [c for _, c in sorted(table.classes.items()) if provisionable(c)]
    default = facts.default_class(classes)
    chosen = default or next(iter(classes), None)
    spec: dict[str, Any] = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": EXAMPLE_SIZE}}}
    spec["storageClassName"] = (chosen.metadata.name or "") if chosen is not None else ""
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }
    made = Change(action="create", kind="PersistentVolumeClaim", name=name, namespace=namespace, object=claim)
    text = f"create the PersistentVolumeClaim {name}"
    if chosen is not None:
        return f"{text}, for example of StorageClass {chosen.metadata.name}", [made]
    volume = _volume(namespace, name, EXAMPLE_SIZE, ("ReadWriteOnce",), "", "Filesystem")
    return f"{text} with a PersistentVolume for it (no StorageClass makes volumes)", [made, volume]


def _new_volume(claim: PersistentVolumeClaim) -> Change:
    meta = claim.metadata
    return _volume(
        meta.namespace or "",
        meta.name or "",
        str(facts.requested(claim)),
        claim.spec.access_modes,
        facts.class_of_claim(claim),
        facts.mode_of(claim),
    )


def _volume_text(claim: PersistentVolumeClaim) -> str:
    name = facts.class_of_claim(claim)
    of_class = f", StorageClass {name}" if name else ""
    modes = ", ".join(claim.spec.access_modes)
    return (
        f"create a PersistentVolume of {facts.requested(claim)} ({modes}{of_class}) "
        f"for the claim {claim.metadata.name}, which all nodes can reach"
    )


def _volume(
    namespace: str, claim: str, size: str, modes: tuple[str, ...], storage_class: str, volume_mode: str
) -> Change:
    """A volume kept for the claim. What it is made of is for whoever makes it to fill in."""
    name = f"for-{namespace}-{claim}"[:253]
    document = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": size},
            "accessModes": list(modes),
            "storageClassName": storage_class,
            "volumeMode": volume_mode,
            "claimRef": {"kind": "PersistentVolumeClaim", "namespace": namespace, "name": claim},
        },
    }
    return Change(action="create", kind="PersistentVolume", name=name, object=document)
