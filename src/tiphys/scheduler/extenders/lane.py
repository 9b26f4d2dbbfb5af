"""Where pods wait for extenders' answers, so that no other pod waits for these.

    put ──► waiting (priority, then age) ──one at a time──► candidates ──► ask ──► choose ──► decided
               ▲                                               │ none: as if there were no extender ──┘
               └── what was allowed is taken, or the pod changed, meanwhile (3 times; then after its backoff)

One pod at a time, as upstream: an extender may count on it that a pod it let pass is on its node, or has failed, before
it is asked about the next. The plugins' part is done in one go before and after; the cluster may change in between,
so the node is chosen among those that can take the pod when the answer is there.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections.abc import Callable
from typing import Final

from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import Node, Pod
from tiphys.base.logging import get_logger
from tiphys.scheduler.algorithm import EXTENDER, Algorithm, Budgets, Placed, Unplaceable
from tiphys.scheduler.arrays import ABSENT, Ints
from tiphys.scheduler.extenders.asking import Extenders
from tiphys.scheduler.extenders.choosing import Opinion, candidates, choose, nominated
from tiphys.scheduler.extenders.transport import ExtenderError
from tiphys.scheduler.framework import Trigger
from tiphys.scheduler.handle import Handle
from tiphys.scheduler.queue import QueuedPod, SchedulingQueue
from tiphys.scheduler.template import PodInfo

MAXIMUM_ROUNDS: Final = 3
"""So often a pod is asked about before it waits for its backoff."""
_logger = get_logger(__name__)

About = Callable[[QueuedPod], tuple[PodInfo, Algorithm]]
Decided = Callable[[QueuedPod, Placed | Unplaceable, float], None]
Failed = Callable[[QueuedPod, Exception], None]


class Lane:
    """Pods put here leave it by `decided`, or by `failed` with what went wrong; those that are gone by then, silently.

    `about`: a pod as it is now, and what decides for it.
    """

    def __init__(
        self,
        extenders: Extenders,
        handle: Handle,
        queue: SchedulingQueue,
        rng: random.Random,
        about: About,
        budgets: Budgets,
        decided: Decided,
        failed: Failed,
    ) -> None:
        self._extenders = extenders
        self._handle = handle
        self._client = handle.client
        self._queue = queue
        self._clock = handle.clock
        self._rng = rng
        self._about = about
        self._budgets = budgets
        self._decided = decided
        self._failed = failed
        self._waiting: list[tuple[int, float, int, QueuedPod]] = []
        self._order = itertools.count()
        self._task: asyncio.Task[None] | None = None

    def wants(self, pod: Pod) -> bool:
        """Whether an extender is to be asked about the pod."""
        return self._extenders.want(pod)

    def put(self, queued: QueuedPod) -> None:
        """A pod that was popped."""
        entry = (-(queued.pod.spec.priority or 0), queued.queued_at, next(self._order), queued)
        heapq.heappush(self._waiting, entry)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._work(), name="scheduler/extenders")

    async def close(self) -> None:
        """Stop; pods that wait here are tried by whoever schedules next."""
        self._waiting.clear()
        if (task := self._task) is not None:
            task.cancel()
            await asyncio.wait([task])
        await self._extenders.close()

    async def _work(self) -> None:
        try:
            while self._waiting:
                queued = heapq.heappop(self._waiting)[-1]
                try:
                    await self._schedule(queued)
                except Exception as error:
                    if not isinstance(error, ExtenderError | ApiError | OSError | TimeoutError):
                        _logger.exception("pod not scheduled", pod="/".join(queued.key))
                    if self._queue.holds(queued):
                        self._failed(queued, error)
                # The scheduler's own loop may sleep, and is to see what became of the pod.
                self._handle.happened(Trigger(0))
        finally:
            # Without an await since the last look at what waits: nobody can have come in between.
            self._task = None

    async def _schedule(self, queued: QueuedPod) -> None:
        for _ in range(MAXIMUM_ROUNDS):
            if not self._queue.holds(queued):
                return
            if queued.pod.metadata.deletion_timestamp is not None:
                self._queue.remove(queued.key)
                return
            info, algorithm = self._about(queued)
            rows = candidates(algorithm, info)
            if not len(rows):
                decided = algorithm.decide(info, self._budgets)
                self._decided(queued, decided, self._clock.monotonic())
                return
            opinion = await self._ask(info, algorithm, rows)
            if not self._queue.holds(queued):
                return
            if opinion is None:
                self._queue.failed(queued, self._clock.monotonic())
                return
            now, algorithm = self._about(queued)
            if now is not info:
                continue
            decision = choose(algorithm, info, opinion, self._budgets, self._rng)
            if decision is not None:
                self._decide(queued, decision)
                return
        raise ExtenderError("the cluster changed while extenders were asked, each time")

    async def _ask(self, info: PodInfo, algorithm: Algorithm, rows: Ints) -> Opinion | None:
        """None: the pod is not what it was taken for, and the informer will say so."""
        table = algorithm.cluster.nodes
        nodes = {row: node for row in rows.tolist() if (node := table.nodes[row]) is not None}
        first = nominated(algorithm, info, rows)
        namespace, name = info.key
        try:
            # The scheduler keeps of a pod what it looks at itself; an extender may look at anything.
            pod = await self._client.get(Pod, name, namespace)
        except ApiError as error:
            if error.code == 404:
                return None
            raise
        if pod.metadata.uid != info.uid or pod.spec.node_name:
            return None
        if first != ABSENT:
            opinion = await self._extenders.ask(pod, [nodes[first]])
            if opinion.allowed:
                return opinion
        everything: list[Node] = list(nodes.values())
        return await self._extenders.ask(pod, everything)

    def _decide(self, queued: QueuedPod, decision: Placed | Unplaceable) -> None:
        self._decided(queued, decision, self._clock.monotonic())
        refused = isinstance(decision, Unplaceable) and EXTENDER in decision.rejected_by
        if refused and self._queue.missed(queued):
            # What happened while it was asked about may have changed the answer.
            self._queue.again(queued.key, self._clock.monotonic())
