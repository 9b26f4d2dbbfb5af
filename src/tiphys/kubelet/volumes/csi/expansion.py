"""Growing a volume on its node, once its claim and the controller have made it larger, while pods go on using it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tiphys.api.errors import ApiError
from tiphys.api.persistent_volumes import STORAGE, capacity
from tiphys.api.types.core_v1 import PersistentVolume, PersistentVolumeClaim, Pod
from tiphys.client.client import Client
from tiphys.csi.errors import CsiError
from tiphys.csi.types import Capability, Context
from tiphys.csi.wire import NodeRpc
from tiphys.kubelet.volumes.csi.plugins import Plugin
from tiphys.kubelet.volumes.csi.volume import CsiVolume
from tiphys.kubelet.volumes.payload import MountError

NODE_STEPS: Final = ("NodeResizePending", "NodeResizeInProgress")


async def grow(
    client: Client,
    plugin: Plugin,
    volume: CsiVolume,
    pod: Pod,
    target: Path,
    staging: Path | None,
    secrets: Context,
    capability: Capability,
    tell: Callable[[object, str, str, str], None],
) -> bool:
    """Grow the volume if its PersistentVolume is larger than its claim's status says; whether it was.

    Raises MountError (the driver refused) and ApiError.
    """
    if volume.claimed is None or volume.read_only:
        return False
    known = volume.claimed.claim
    claim = await client.get(PersistentVolumeClaim, known.metadata.name or "", known.metadata.namespace or "")
    has = claim.status.capacity.get(STORAGE)
    if has is None or claim.metadata.uid != known.metadata.uid:
        return False
    pending = claim.status.allocated_resource_statuses.get(STORAGE) in NODE_STEPS
    if not pending and claim.spec.resources.requests.get(STORAGE, has).value <= has.value:
        return False
    current = await client.get(PersistentVolume, volume.name)
    size = capacity(current)
    if size.value <= has.value:
        return False
    if plugin.can(NodeRpc.EXPAND_VOLUME):
        try:
            await plugin.driver.node_expand(
                volume.handle, target, size.value, capability, staging_path=staging, secrets=secrets
            )
        except CsiError as error:
            text = f'MountVolume.NodeExpandVolume failed for volume "{volume.name}" : {error}'
            tell(claim, "Warning", "VolumeResizeFailed", f"NodeExpandVolume failed: {error}")
            raise MountError(text) from None
    await _finish(client, claim, str(size))
    for obj in (pod, claim):
        text = f'MountVolume.NodeExpandVolume succeeded for volume "{volume.name}"'
        tell(obj, "Normal", "FileSystemResizeSuccessful", text)
    return True


async def _finish(client: Client, claim: PersistentVolumeClaim, size: str) -> None:
    """The claim's status shows the new size, and nothing to be done any more. Raises ApiError."""
    keep = [c for c in claim.status.conditions if c.type not in ("Resizing", "FileSystemResizePending")]
    gone = [c.type for c in claim.status.conditions if c not in keep]
    status: dict[str, Any] = {"capacity": {STORAGE: size}, "allocatedResourceStatuses": {STORAGE: None}}
    if gone:
        status["conditions"] = [{"$patch": "delete", "type": kind} for kind in gone]
    meta = claim.metadata
    change = {"metadata": {"resourceVersion": meta.resource_version}, "status": status}
    try:
        await client.patch(
            PersistentVolumeClaim, meta.name or "", meta.namespace or "", change, type="strategic", subresource="status"
        )
    except ApiError as error:
        # Changed meanwhile: the next round sees the old size and does it again, which drivers allow.
        if error.code != 409:
            raise
