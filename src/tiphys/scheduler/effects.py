"""What the scheduler does to the world, through the API only: bind, report, remove victims."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import Pod, PodCondition
from tiphys.base.clock import Clock, rfc3339
from tiphys.base.logging import get_logger
from tiphys.base.workers import Workers
from tiphys.client import NORMAL, WARNING, Client, EventRecorder
from tiphys.scheduler import messages
from tiphys.scheduler.template import PodInfo

POD_SCHEDULED = "PodScheduled"
UNSCHEDULABLE = "Unschedulable"
SCHEDULER_ERROR = "SchedulerError"
_logger = get_logger(__name__)

Call = Callable[[], Awaitable[None]]


class Calls:
    """Runs calls in order of submission, at most `limit` at a time; idle, there is no task."""

    def __init__(self, limit: int) -> None:
        self._waiting: deque[Call] = deque()
        self._workers = Workers("scheduler/call", self._waiting.__len__, self._call_next, limit=limit)

    def __len__(self) -> int:
        return len(self._waiting) + len(self._workers)

    def submit(self, call: Call) -> None:
        self._waiting.append(call)
        self._workers.wake()

    async def close(self) -> None:
        """Drop what waits, cancel what runs."""
        self._waiting.clear()
        await self._workers.close()

    async def _call_next(self) -> None:
        await self._waiting.popleft()()


class Effects:
    """The scheduler's hands. `report` and `remove` log failures: the pod is tried again anyway."""

    def __init__(self, client: Client, recorder: EventRecorder, scheduler_name: str, clock: Clock) -> None:
        self._client = client
        self._recorder = recorder
        self._name = scheduler_name
        self._clock = clock

    async def bind(self, info: PodInfo) -> None:
        """Bind the pod to the node it was placed on. Raises ApiError, OSError or TimeoutError."""
        namespace, name = info.key
        # What the pod carries of why it had no node ends by the write that gives it one.
        over = {messages.WHY_ANNOTATION: ""} if messages.WHY_ANNOTATION in info.pod.metadata.annotations else None
        await self._client.bind(namespace, name, info.uid, info.node_name, annotations=over)
        self.bound(info)

    def bound(self, info: PodInfo) -> None:
        """Say that the pod was bound."""
        namespace, name = info.key
        self._recorder.event(info.pod, NORMAL, "Scheduled", messages.assigned(namespace, name, info.node_name))

    async def report(
        self,
        pod: Pod,
        reason: str,
        message: str,
        nominated_node_name: str | None,
        why: Callable[[], str] | None = None,
    ) -> None:
        """Say why the pod is not scheduled: an event, and the PodScheduled condition unless it says so already.

        `nominated_node_name`: None leaves what is there. `why`: the same for programs, an annotation of that write.
        """
        self._recorder.event(pod, WARNING, "FailedScheduling", message)
        status: dict[str, Any] = {}
        annotations: dict[str, str] = {}
        current = next((c for c in pod.status.conditions if c.type == POD_SCHEDULED), None)
        if current is None or (current.status, current.reason, current.message) != ("False", reason, message):
            status["conditions"] = [self._condition(current, reason, message, pod.metadata.generation)]
            annotations = {messages.WHY_ANNOTATION: why()} if why is not None else {}
        if nominated_node_name is not None and nominated_node_name != (pod.status.nominated_node_name or ""):
            status["nominatedNodeName"] = nominated_node_name or None
        await self._patch(pod, status, annotations)

    async def clear_nomination(self, pod: Pod) -> None:
        """The node is no longer kept for the pod."""
        if pod.status.nominated_node_name:
            await self._patch(pod, {"nominatedNodeName": None})

    async def remove(self, victim: PodInfo, preemptor: PodInfo, node_name: str) -> bool:
        """Delete a pod to make room, after saying so in its status; returns whether it goes, or has gone already."""
        namespace, name = victim.key
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "PreemptionByScheduler",
            "message": f"{self._name}: preempting to accommodate a higher priority pod",
            "lastTransitionTime": rfc3339(self._clock.now()),
        }
        await self._patch(victim.pod, {"conditions": [condition]})
        try:
            await self._client.delete(Pod, name, namespace, uid=victim.uid)
        except (ApiError, OSError, TimeoutError) as error:
            if isinstance(error, ApiError) and error.code in (404, 409):
                return True
            _logger.warning("victim not deleted", pod=f"{namespace}/{name}", error=str(error))
            return False
        said = f"Preempted by pod {preemptor.uid} on node {node_name}"
        self._recorder.event(victim.pod, NORMAL, "Preempted", said)
        return True

    def _condition(
        self, current: PodCondition | None, reason: str, message: str, generation: int | None
    ) -> dict[str, Any]:
        since = current.last_transition_time if current is not None and current.status == "False" else None
        condition: dict[str, Any] = {
            "type": POD_SCHEDULED,
            "status": "False",
            "reason": reason,
            "message": message,
            "lastProbeTime": None,
            "lastTransitionTime": since or rfc3339(self._clock.now()),
        }
        if generation:
            condition["observedGeneration"] = generation
        return condition

    async def _patch(self, pod: Pod, status: dict[str, Any], annotations: dict[str, str] | None = None) -> None:
        if not status:
            return
        meta = pod.metadata
        named: dict[str, Any] = {"uid": meta.uid, "annotations": annotations} if annotations else {"uid": meta.uid}
        body = {"metadata": named, "status": status}
        try:
            await self._client.patch(
                Pod, meta.name or "", meta.namespace or "", body, type="strategic", subresource="status"
            )
        except (ApiError, OSError, TimeoutError) as error:
            if not (isinstance(error, ApiError) and error.code in (404, 409)):
                _logger.warning("status not patched", pod=f"{meta.namespace}/{meta.name}", error=str(error))
