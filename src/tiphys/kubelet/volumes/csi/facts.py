"""What a driver's CSIDriver object asks the kubelet to do: which pods' facts to pass on, whose files to give away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from tiphys.api.types.core_v1 import Pod
from tiphys.api.types.storage_v1 import CSIDriver, CSIDriverSpec
from tiphys.kubelet.volumes.csi.volume import PERSISTENT, CsiVolume
from tiphys.kubelet.volumes.payload import VolumeError
from tiphys.kubelet.volumes.tokens import DEFAULT_SECONDS, Tokens

TOKENS: Final = "csi.storage.k8s.io/serviceAccount.tokens"


@dataclass(frozen=True, slots=True)
class DriverFacts:
    """A CSIDriver's spec with upstream's defaults; `known` False: there is no such object."""

    name: str
    known: bool = False
    spec: CSIDriverSpec = field(default_factory=CSIDriverSpec)

    @property
    def attach_required(self) -> bool:
        return self.spec.attach_required is not False

    @property
    def requires_republish(self) -> bool:
        return bool(self.spec.requires_republish)


def of_object(name: str, driver: CSIDriver | None) -> DriverFacts:
    return DriverFacts(name) if driver is None else DriverFacts(name, True, driver.spec)


def check_lifecycle_mode(volume: CsiVolume, facts: DriverFacts) -> None:
    """Raises VolumeError when the driver does not do such volumes."""
    mode = volume.lifecycle_mode
    if not facts.known:
        if mode != PERSISTENT:
            raise VolumeError(f'volume mode "{mode}" not supported by driver {facts.name} (no CSIDriver object)')
        return
    allowed = facts.spec.volume_lifecycle_modes or (PERSISTENT,)
    if mode not in allowed:
        listed = " ".join(f'"{m}"' for m in allowed)
        raise VolumeError(f'volume mode "{mode}" not supported by driver {facts.name} (only supports [{listed}])')


def gives_to_group(volume: CsiVolume, facts: DriverFacts) -> bool:
    """Whether the kubelet makes the volume's files the pod's fsGroup's. Source: documentation of `fsGroupPolicy`."""
    if volume.block or volume.read_only:
        return False
    match facts.spec.fs_group_policy or "ReadWriteOnceWithFSType":
        case "None":
            return False
        case "File":
            return True
        case _:
            once = not {"ReadWriteMany", "ReadOnlyMany"} & set(volume.access_modes)
            return bool(volume.fs_type) and once and volume.lifecycle_mode == PERSISTENT


def pod_attributes(volume: CsiVolume, pod: Pod, facts: DriverFacts) -> dict[str, str]:
    """What is added to the volume context, if the driver wants to know the pod (podInfoOnMount)."""
    if not facts.spec.pod_info_on_mount:
        return {}
    meta = pod.metadata
    return {
        "csi.storage.k8s.io/pod.name": meta.name or "",
        "csi.storage.k8s.io/pod.namespace": meta.namespace or "",
        "csi.storage.k8s.io/pod.uid": meta.uid or "",
        "csi.storage.k8s.io/serviceAccount.name": pod.spec.service_account_name or "",
        "csi.storage.k8s.io/ephemeral": str(volume.lifecycle_mode != PERSISTENT).lower(),
    }


async def token_attributes(pod: Pod, facts: DriverFacts, tokens: Tokens) -> Mapping[str, str]:
    """The pod's service account tokens for the audiences that the driver asks for. Raises ApiError."""
    if not facts.spec.token_requests:
        return {}
    entries = {}
    for request in facts.spec.token_requests:
        token = await tokens.get(pod, request.audience, request.expiration_seconds or DEFAULT_SECONDS)
        entries[request.audience] = {"token": token.value, "expirationTimestamp": token.expires}
    return {TOKENS: msgspec.json.encode(entries).decode()}
