"""PersistentVolumeClaims whose volume is a path on this node: hostPath and local. Others need a plugin."""

from __future__ import annotations

from pathlib import Path

from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import PersistentVolume, PersistentVolumeClaim, Pod, Volume
from tiphys.client.client import Client
from tiphys.kubelet.volumes import hostpath
from tiphys.kubelet.volumes.payload import VolumeError


async def resolve(client: Client, pod: Pod, volume: Volume) -> tuple[Path, bool]:
    """(path on the host, read only) of the claim's volume. Raises VolumeError and ApiError."""
    namespace = pod.metadata.namespace or ""
    source = volume.persistent_volume_claim
    name = source.claim_name if source is not None else f"{pod.metadata.name}-{volume.name}"
    try:
        claim = await client.get(PersistentVolumeClaim, name, namespace)
    except ApiError as error:
        if error.code == 404:
            raise VolumeError(f'persistentvolumeclaim "{name}" not found') from None
        raise
    bound = claim.spec.volume_name
    if claim.status.phase != "Bound" or not bound:
        raise VolumeError(f"PVC {namespace}/{name} is not bound")
    found = await client.get(PersistentVolume, bound)
    read_only = bool(source is not None and source.read_only)
    if found.spec.host_path is not None:
        path = Path(found.spec.host_path.path)
        hostpath.check(path, found.spec.host_path.type or "")
        return path, read_only
    if found.spec.local is not None:
        path = Path(found.spec.local.path)
        if not path.exists():
            raise VolumeError(f'path "{path}" does not exist')
        return path, read_only
    raise VolumeError("no volume plugin matched")
