"""Emptying a node before it goes: no new pods, and the ones it has leave within their budgets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Final

from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import Node, Pod
from tiphys.client.client import Client
from tiphys.cmd.config import ConfigError

MIRROR: Final = "kubernetes.io/config.mirror"
_RETRY_SECONDS: Final = 0.5


def leaving(pods: Iterable[Pod]) -> list[Pod]:
    """Those of a node's pods that must be gone from it: all but a DaemonSet's, static pods and ones that ended."""
    return [
        pod
        for pod in pods
        if MIRROR not in pod.metadata.annotations
        and pod.status.phase not in ("Succeeded", "Failed")
        and not any(owner.kind == "DaemonSet" and owner.controller for owner in pod.metadata.owner_references)
    ]


async def drain(client: Client, node: str, *, timeout_seconds: float, progress: Callable[[str], None]) -> None:
    """Cordon the node, and return when its pods are gone. Raises ConfigError when budgets or pods take too long."""
    await client.patch(Node, node, "", {"spec": {"unschedulable": True}})
    end = time.monotonic() + timeout_seconds
    while True:
        found = (await client.list(Pod, field_selector=f"spec.nodeName={node}")).items
        pods = leaving(found)
        if not pods:
            return
        if time.monotonic() > end:
            names = ", ".join(f"{pod.metadata.namespace}/{pod.metadata.name}" for pod in pods)
            raise ConfigError(f"{node} still has {names} after {timeout_seconds:.0f} s: it stays, cordoned")
        progress(f"{node}: {len(pods)} pods leave")
        await asyncio.gather(*(_evict(client, pod) for pod in pods if not pod.metadata.deletion_timestamp))
        await asyncio.sleep(_RETRY_SECONDS)


async def _evict(client: Client, pod: Pod) -> None:
    try:
        await client.evict(pod.metadata.namespace or "", pod.metadata.name or "")
    except ApiError as error:
        if error.code not in (404, 409, 429):  # gone, changing, or its budget says not yet
            raise
