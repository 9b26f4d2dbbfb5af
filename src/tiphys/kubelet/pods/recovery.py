"""What the runtime already holds when the kubelet starts: pods of a kubelet before this one."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Final

from tiphys.cri.errors import CriError
from tiphys.cri.runtime import Runtime
from tiphys.cri.types import Sandbox, SandboxState
from tiphys.kubelet.lifecycle.events import Adopted, SandboxSighting, Sighting
from tiphys.kubelet.pods.sightings import sandbox_sighting, sighting
from tiphys.kubelet.spec.names import POD_UID

PARALLEL: Final = 8


async def found_pods(runtime: Runtime) -> dict[str, Adopted]:
    """By pod uid, all its sandboxes and containers. Raises CriError."""
    slots = asyncio.Semaphore(PARALLEL)
    sandboxes: dict[str, list[SandboxSighting]] = defaultdict(list)
    containers: dict[str, list[Sighting]] = defaultdict(list)

    async def see_sandbox(sandbox: Sandbox) -> None:
        ips: tuple[str, ...] = ()
        if sandbox.state is SandboxState.READY:
            async with slots:
                try:
                    ips = sandbox_sighting(await runtime.sandbox_status(sandbox.id)).ips
                except CriError as error:
                    if error.not_found:
                        return
                    raise
        seen = SandboxSighting(sandbox.id, sandbox.attempt, sandbox.state is SandboxState.READY, ips)
        sandboxes[sandbox.labels.get(POD_UID, sandbox.uid)].append(seen)

    async def see_container(id: str, uid: str) -> None:
        async with slots:
            try:
                status = await runtime.container_status(id)
            except CriError as error:
                if error.not_found:
                    return
                raise
            containers[uid].append(await sighting(status))

    listed_sandboxes = await runtime.list_sandboxes()
    listed_containers = await runtime.list_containers()
    await asyncio.gather(
        *(see_sandbox(sandbox) for sandbox in listed_sandboxes),
        *(see_container(container.id, container.labels.get(POD_UID, "")) for container in listed_containers),
    )
    return {
        uid: Adopted(tuple(sandboxes.get(uid, ())), tuple(containers.get(uid, ())))
        for uid in sandboxes.keys() | containers.keys()
        if uid
    }
