"""Waiting for a cluster that starts: for its apiserver, its nodes, its first images."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from tiphys.api.errors import ApiError
from tiphys.api.types.coordination_v1 import Lease
from tiphys.api.types.core_v1 import Node
from tiphys.base.clock import parse_rfc3339
from tiphys.client.client import Client
from tiphys.cmd import supervision
from tiphys.cmd.config import ClusterConfig, ConfigError
from tiphys.cmd.containerd import Containerd, ContainerdError

READY_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.05
_LEASES: Final = "kube-node-lease"


async def until(condition: Callable[[], Awaitable[bool]], what: str, config: ClusterConfig, process: str) -> None:
    """Return once `condition` holds. Raises ConfigError with `what` and the end of the log of `process` if it does not
    within READY_SECONDS, or if the cluster is stopped meanwhile."""
    end = time.monotonic() + READY_SECONDS
    while not await condition():
        if not config.socket_path.exists():
            raise ConfigError(f"the cluster in {config.data_dir} was stopped while it started")
        if time.monotonic() > end:
            log_path = config.log_dir / f"{process}.log"
            raise ConfigError(
                f"{what} after {READY_SECONDS:.0f} s; the end of {log_path}:\n{supervision.last_lines(log_path)}"
            )
        await asyncio.sleep(_POLL_SECONDS)


async def answers(client: Client) -> bool:
    """Whether the apiserver is ready."""
    with suppress(ApiError, OSError):
        return (await client.raw("GET", "/readyz")).status == 200
    return False


async def nodes_ready(client: Client, count: int) -> bool:
    """Whether so many nodes are Ready."""
    with suppress(ApiError, OSError):
        return sum(map(_ready, (await client.list(Node)).items)) >= count
    return False


async def node_ready(client: Client, name: str, since: float = 0.0) -> bool:
    """Whether this node is Ready, and lives: what its status said before it died does not count.

    It lives if it renewed its lease after `since`, in epoch seconds; 0 believes its status.
    """
    with suppress(ApiError, OSError):
        if since:
            renewed = (await client.get(Lease, name, _LEASES)).spec.renew_time
            if not renewed or parse_rfc3339(renewed) < since:
                return False
        return _ready(await client.get(Node, name))
    return False


def _ready(node: Node) -> bool:
    return any(one.type == "Ready" and one.status == "True" for one in node.status.conditions)


async def images_there(containerd: Containerd, cache: Path, progress: Callable[[str], None]) -> None:
    """Have the images that every node starts with: busybox, nginx and the sandbox's. Raises ConfigError."""
    from tiphys.cmd.image_build_debian import PackageError
    from tiphys.cmd.images import ImageError, ensure_images

    try:
        await containerd.start()
        await ensure_images(containerd.socket, cache, on_progress=progress)
    except (ContainerdError, ImageError, PackageError) as error:
        raise ConfigError(f"the node's first images could not be made: {error}") from error
