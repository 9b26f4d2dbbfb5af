"""No change of a pod's status is lost on its way to the API."""

from __future__ import annotations

import asyncio
from typing import Any

from msgspec.structs import replace

from tiphys.api.types.core_v1 import Pod, PodStatus
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.base.clock import SystemClock
from tiphys.kubelet.pods.status_manager import StatusManager

UID = "u"


class Api:
    """Takes patches; something happens to the pod at the worst moment."""

    def __init__(self) -> None:
        self.manager = StatusManager(self, SystemClock())  # type: ignore[arg-type]
        self.phase = "Pending"
        self.told: list[str] = []
        pod = Pod(metadata=ObjectMeta(name="p", namespace="n", uid=UID, resource_version="1"))
        self.pod = pod
        self.manager.add(UID, pod, lambda: PodStatus(phase=self.phase))

    async def patch(self, kind: type, name: str, namespace: str, body: Any, **more: Any) -> Pod:
        await asyncio.sleep(0)
        self.told.append(body["status"]["phase"])
        if self.phase == "Pending":
            # Runs when the sender is through, and before anybody is told that it is.
            asyncio.get_running_loop().call_soon(self._runs)
        return replace(self.pod, metadata=replace(self.pod.metadata, resource_version="2"))

    def _runs(self) -> None:
        self.phase = "Running"
        self.manager.publish(UID, urgent=True)


async def test_what_happens_while_the_last_one_ends_is_told() -> None:
    api = Api()
    api.manager.publish(UID, urgent=True)
    async with asyncio.timeout(5):
        while api.told != ["Pending", "Running"]:  # noqa: ASYNC110 (the manager tells nobody that it is done)
            await asyncio.sleep(0)
    await api.manager.close()


async def test_a_flush_ends_with_what_is_true_then() -> None:
    api = Api()
    await asyncio.wait_for(api.manager.flush(UID), 5)
    assert api.told[-1] == api.phase == "Running"
    await api.manager.close()
