"""How CSI volumes are called in the API: names that kubelets, controllers and drivers' sidecars must agree on. Pure."""

from __future__ import annotations

import hashlib
import re
from typing import Final

PLUGIN: Final = "kubernetes.io/csi"
_ATTACHMENT_NAME: Final = re.compile(r"csi-[0-9a-f]{64}")
NODE_ID_ANNOTATION: Final = "csi.volume.kubernetes.io/nodeid"
"""On Nodes: what each driver calls the node, as a JSON object."""


def unique_name(driver: str, handle: str) -> str:
    """The volume in ``status.volumesInUse`` and ``status.volumesAttached`` of nodes."""
    return f"{PLUGIN}/{driver}^{handle}"


def attachment_name(handle: str, driver: str, node_name: str) -> str:
    """The VolumeAttachment of a volume and a node."""
    return "csi-" + hashlib.sha256(f"{handle}{driver}{node_name}".encode()).hexdigest()


def is_attachment_name(name: str) -> bool:
    """Whether the VolumeAttachment is called as those are that the attach-detach controller makes."""
    return _ATTACHMENT_NAME.fullmatch(name) is not None


def inline_handle(pod_uid: str, volume_name: str) -> str:
    """The volume id given to a pod's inline volume, which lives as long as the pod."""
    return "csi-" + hashlib.sha256(f"{pod_uid}{volume_name}".encode()).hexdigest()
