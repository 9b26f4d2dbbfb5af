"""Devices: a claim that is missing, and devices that other pods' claims have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from tiphys.scheduler.arrays import Ints
from tiphys.scheduler.devices.state import claim_names
from tiphys.scheduler.explaining.explanation import Change
from tiphys.scheduler.explaining.groups import Group
from tiphys.scheduler.explaining.remedies.candidate import Candidate, Scene, called, delete_pods

MAXIMUM_NODES: Final = 4
MAXIMUM_PODS: Final = 4
MAXIMUM_CLASSES: Final = 3
_TAKEN: Final = "cannot allocate all claims"


def create_claims(scene: Scene) -> Iterator[Candidate]:
    """For claims that the pod names and that do not exist: one device of some class."""
    state = scene.model.devices
    if state is None:
        return
    missing = [key for _, key in claim_names(scene.pod) if key is not None and key not in state.claims]
    for name in sorted(state.classes)[:MAXIMUM_CLASSES] if missing else ():
        changes = tuple(_claim(namespace, claim, name) for namespace, claim in missing)
        said = " and ".join(claim for _, claim in missing)
        text = f"create the ResourceClaim {said}, for example for a device of class {name}"
        yield Candidate("CreateClaim", text, changes, 3, None, len(changes))


def free_devices(scene: Scene, group: Group, rows: Ints) -> Iterator[Candidate]:
    """Without one of the pods, no more important, whose claims have devices of these nodes."""
    if not any(reason.words == _TAKEN for reason in group.reasons):
        return
    priority = scene.pod.spec.priority or 0
    for row in rows[:MAXIMUM_NODES]:
        users = [
            pod
            for pod in scene.cluster.pods_on[int(row)].values()
            if pod.pod.spec.resource_claims and pod.priority <= priority
        ]
        for pod in sorted(users, key=lambda pod: (pod.priority, pod.key))[:MAXIMUM_PODS]:
            text = f"remove pod {called(pod)} from node {scene.name(int(row))}, whose devices then are free"
            yield Candidate("RemovePods", text, delete_pods([pod.key]), 7, np.array([row]))


def _claim(namespace: str, name: str, device_class: str) -> Change:
    exactly = {"deviceClassName": device_class, "allocationMode": "ExactCount", "count": 1}
    request = {"name": "device", "exactly": exactly}
    document: dict[str, Any] = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"devices": {"requests": [request]}},
    }
    return Change(action="create", kind="ResourceClaim", name=name, namespace=namespace, object=document)
