"""What those who deal with ResourceClaims agree on: who allocates, who cleans up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tiphys.api.types.core_v1 import Pod
from tiphys.api.types.resource_v1 import DeviceTaint, DeviceToleration

CLAIM_NAME: Final = "resource.kubernetes.io/pod-claim-name"
"""Annotation of a claim made from a template: what the pod calls it."""
FINALIZER: Final = "resource.kubernetes.io/delete-protection"
"""On a claim that has devices: they must be given back before it goes."""
MAXIMUM_USERS: Final = 256
"""Of one claim."""


def claim_names(pod: Pod) -> Iterator[str]:
    """The claims that the pod uses, those that are made."""
    recorded = {status.name: status.resource_claim_name for status in pod.status.resource_claim_statuses}
    for used in pod.spec.resource_claims:
        if name := used.resource_claim_name or recorded.get(used.name):
            yield name


def tolerates(toleration: DeviceToleration, taint: DeviceTaint) -> bool:
    """Whether the toleration covers the taint of a device."""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    return toleration.operator == "Exists" or (toleration.value or "") == (taint.value or "")
