"""From a pod's claim to the volume behind it, or upstream's words for why there is none."""

from __future__ import annotations

from dataclasses import dataclass

from tiphys.api.errors import ApiError
from tiphys.api.persistent_volumes import claim_name_of, is_made_for, mode_of
from tiphys.api.types.core_v1 import PersistentVolume, PersistentVolumeClaim, Pod, Volume
from tiphys.client.client import Client
from tiphys.kubelet.lifecycle.state import AnyContainer
from tiphys.kubelet.volumes.payload import ClaimError


@dataclass(frozen=True, slots=True)
class Claimed:
    """A bound pair, and whether the pod wants to read only."""

    volume: PersistentVolume
    claim: PersistentVolumeClaim
    read_only: bool

    @property
    def name(self) -> str:
        return self.volume.metadata.name or ""

    @property
    def block(self) -> bool:
        return mode_of(self.volume) == "Block"


async def claimed(client: Client, pod: Pod, volume: Volume) -> Claimed:
    """What the pod's volume stands for. Raises ClaimError."""
    namespace, name = pod.metadata.namespace or "", claim_name_of(pod, volume)
    try:
        claim = await _claim(client, pod, volume, namespace, name)
        found = await _volume(client, claim)
        _check_use(pod, volume, found)
    except ClaimError as error:
        raise ClaimError(f"error processing PVC {namespace}/{name}: {error}") from None
    source = volume.persistent_volume_claim
    return Claimed(found, claim, bool(source is not None and source.read_only))


async def _claim(client: Client, pod: Pod, volume: Volume, namespace: str, name: str) -> PersistentVolumeClaim:
    try:
        claim = await client.get(PersistentVolumeClaim, name, namespace)
    except ApiError as error:
        raise ClaimError(f"failed to fetch PVC from API server: {error.message}") from None
    if volume.ephemeral is not None and not is_made_for(claim, pod):
        text = f"PVC {namespace}/{name} was not created for pod {namespace}/{pod.metadata.name} (pod is not owner)"
        raise ClaimError(text)
    # A pod that runs keeps what it has; only new ones must not begin to use what is about to go.
    if claim.metadata.deletion_timestamp is not None and pod.status.phase != "Running":
        raise ClaimError("PVC is being deleted")
    if claim.status.phase != "Bound" or not claim.spec.volume_name:
        raise ClaimError("PVC is not bound")
    return claim


async def _volume(client: Client, claim: PersistentVolumeClaim) -> PersistentVolume:
    name = claim.spec.volume_name or ""
    try:
        found = await client.get(PersistentVolume, name)
    except ApiError as error:
        raise ClaimError(f'failed to fetch PV "{name}" from API server: {error.message}') from None
    reference = found.spec.claim_ref
    if reference is None:
        text = "but it has a nil pv.Spec.ClaimRef indicating it is not yet bound to the claim"
        raise ClaimError(f'found PV object "{name}" {text}')
    if reference.uid != claim.metadata.uid:
        text = f'its pv.Spec.ClaimRef.UID "{reference.uid}" does not point to claim.UID "{claim.metadata.uid}"'
        raise ClaimError(f'found PV object "{name}" but {text}')
    return found


def _check_use(pod: Pod, volume: Volume, found: PersistentVolume) -> None:
    """Containers must mount file systems and open devices, not the other way round."""
    spec = pod.spec
    containers: list[AnyContainer] = [*spec.init_containers, *spec.containers, *spec.ephemeral_containers]
    block = mode_of(found) == "Block"
    if block and any(m.name == volume.name for c in containers for m in c.volume_mounts):
        raise ClaimError(f"volume {volume.name} has volumeMode Block, but is specified in volumeMounts")
    if not block and any(d.name == volume.name for c in containers for d in c.volume_devices):
        raise ClaimError(f"volume {volume.name} has volumeMode Filesystem, but is specified in volumeDevices")
