"""The scheduler: watches, decides, binds.

    informers ──► queue, cache, cluster ──one turn at a time──► decision ──► assume ──► bind (concurrent, in background)
                                                                        └──► unschedulable: report, perhaps preempt

Decisions are made in turns of a few milliseconds without waiting for anything, so nothing changes under one; between
turns the loop belongs to the informers and the bindings.
"""

from __future__ import annotations

import asyncio
import random
import time

from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import Node
from tiphys.base.clock import Clock, SystemClock
from tiphys.base.logging import get_logger
from tiphys.base.tasks import Supervisor
from tiphys.client import Client, EventRecorder
from tiphys.scheduler import metrics
from tiphys.scheduler.algorithm import Algorithm, Placed
from tiphys.scheduler.cache import PodCache
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.config import SchedulerConfig
from tiphys.scheduler.effects import SCHEDULER_ERROR, UNSCHEDULABLE, Calls, Effects
from tiphys.scheduler.evaluation import MAXIMUM_EVALUATIONS
from tiphys.scheduler.framework import Trigger
from tiphys.scheduler.inputs import Inputs
from tiphys.scheduler.preemption import Candidate
from tiphys.scheduler.queue import QueuedPod, SchedulingQueue
from tiphys.scheduler.template import PodInfo, Templates
from tiphys.scheduler.volume_binder import VolumeBinder

MAXIMUM_CALLS_AHEAD = 2_000
_logger = get_logger(__name__)


class Scheduler:
    """Assigns pods to nodes: ``await Scheduler(client, config).run()``; cancel to stop."""

    def __init__(
        self,
        client: Client,
        config: SchedulerConfig | None = None,
        *,
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._config = config = config or SchedulerConfig()
        self._clock = clock or SystemClock()
        self._templates = Templates()
        self.cluster = Cluster()
        self.cache = PodCache(self.cluster, self._templates, assumed_seconds=config.assumed_seconds)
        self.queue = SchedulingQueue(
            initial_backoff_seconds=config.initial_backoff_seconds,
            maximum_backoff_seconds=config.maximum_backoff_seconds,
            unschedulable_seconds=config.unschedulable_seconds,
        )
        self._algorithm = Algorithm(self.cluster, config.plugins, rng or random.Random())
        self._recorder = EventRecorder(client, config.scheduler_name, config.host, clock=self._clock)
        self._effects = Effects(client, self._recorder, config.scheduler_name, self._clock)
        self._calls = Calls(config.concurrent_calls)
        self._triggers = Trigger(0)
        self._wake = asyncio.Event()
        self._volumes = VolumeBinder(client, self.cluster.volumes, self._clock, config.volume_bind_seconds)
        self._inputs = Inputs(
            client,
            config.scheduler_name,
            self._clock,
            self.queue,
            self.cache,
            self.cluster,
            self._algorithm.nominations,
            self._happened,
            self._volumes,
        )

    async def run(self) -> None:
        """Schedule until cancelled. A restart rebuilds everything from the API: what is bound, what waits."""
        try:
            async with Supervisor("scheduler") as supervisor:
                await self._inputs.start(supervisor)
                self._adopt_nominations()
                supervisor.spawn(self._decide, "decide")
                await supervisor.wait()
        finally:
            await self._volumes.close()
            await self._calls.close()
            await self._recorder.close()

    def _happened(self, trigger: Trigger) -> None:
        self._triggers |= trigger
        self._wake.set()

    def _adopt_nominations(self) -> None:
        for queued in self.queue:
            if queued.pod.status.nominated_node_name:
                info = self._info(queued)
                self._algorithm.nominations.set(info, queued.pod.status.nominated_node_name)

    async def _decide(self) -> None:
        while True:
            self._wake.clear()
            now = self._clock.monotonic()
            for info in self.cache.expire(now):
                _logger.warning("binding never seen; the pod is forgotten", pod="/".join(info.key))
                self._triggers |= Trigger.POD_GONE
            self.queue.flush(now)
            if self._triggers:
                trigger, self._triggers = self._triggers, Trigger(0)
                self._move(trigger, now)
            ahead = len(self._calls) >= MAXIMUM_CALLS_AHEAD
            if not ahead:
                self._turn(now)
            if self._triggers or (self.queue.has_active and not ahead):
                await asyncio.sleep(0)
            else:
                await self._sleep()

    def _move(self, trigger: Trigger, now: float) -> None:
        # Asking many groups takes longer than a turn may: then they are all tried, a turn at a time.
        few = self.queue.groups <= MAXIMUM_EVALUATIONS // 2
        self.queue.move(trigger, self._algorithm.helps if few else self._algorithm.concerns, now)

    async def _sleep(self) -> None:
        """Until something happens, or the next backoff is over."""
        for place, count in self.queue.counts().items():
            metrics.PENDING.labels(place).set(count)
        moments = [moment for moment in (self.queue.next_flush(), self.cache.next_expiry()) if moment is not None]
        timer: asyncio.Task[None] | None = None
        if moments:
            timer = asyncio.ensure_future(self._clock.sleep(max(0.0, min(moments) - self._clock.monotonic())))
            timer.add_done_callback(lambda _: self._wake.set())
        try:
            await self._wake.wait()
        finally:
            if timer is not None:
                timer.cancel()

    def _turn(self, now: float) -> None:
        # The machine's clock: a turn is bounded in real time, whatever time a test plays.
        end = time.perf_counter() + self._config.turn_seconds
        while (queued := self.queue.pop()) is not None:
            started = time.perf_counter()
            try:
                self._schedule(queued, now)
            except Exception as error:
                # One pod the code cannot digest must not keep the others from their nodes.
                _logger.exception("pod not scheduled", pod="/".join(queued.key))
                self._count("error")
                self.queue.failed(queued, now)
                self._report(queued, SCHEDULER_ERROR, f"scheduling failed: {error!r}", None)
            finished = time.perf_counter()
            metrics.DECISION_SECONDS.observe(finished - started)
            if finished >= end:
                return

    def _schedule(self, queued: QueuedPod, now: float) -> None:
        pod = queued.pod
        if pod.metadata.deletion_timestamp is not None:
            # Deleted before it had a node: nothing to do, and it will be gone presently.
            self.queue.remove(queued.key)
            return
        info = self._info(queued)
        decision = self._algorithm.decide(info, self._inputs.disruptions)
        if isinstance(decision, Placed):
            self._count("scheduled")
            self.queue.remove(queued.key)
            self._algorithm.nominations.remove(queued.key)
            self.cache.assume(info, decision.node_name)
            self._triggers |= Trigger.POD_PLACED
            if info.template.claims:
                self._volumes.start(
                    info, self._node(decision.node_name), lambda error: self._claims_ready(queued, info, error)
                )
            else:
                self._calls.submit(lambda: self._bind(queued, info))
            return
        self._count("unschedulable")
        self.queue.unschedulable(queued, decision.rejected_by, now)
        nominated = self._preempt(info, decision.preemption) if decision.preemption else None
        self._report(queued, UNSCHEDULABLE, decision.message, nominated)

    def _info(self, queued: QueuedPod) -> PodInfo:
        if queued.info is None:
            spread = self._inputs.owners.selector_of(queued.pod)
            queued.info = PodInfo(queued.pod, self._templates.of(queued.pod, spread))
        return queued.info

    def _preempt(self, info: PodInfo, candidate: Candidate) -> str:
        metrics.PREEMPTION_ATTEMPTS.inc()
        node_name = self.cluster.nodes.names[candidate.row]
        nominations = self._algorithm.nominations
        for other in nominations.lower(node_name, info.priority):
            nominations.remove(other.key)
            self._calls.submit(lambda pod=other.pod: self._effects.clear_nomination(pod))  # type: ignore[misc]
        nominations.set(info, node_name)
        for victim in candidate.victims:
            if not victim.terminating:
                self._calls.submit(lambda victim=victim: self._effects.remove(victim, info, node_name))  # type: ignore[misc]
        return node_name

    def _report(self, queued: QueuedPod, reason: str, message: str, nominated: str | None) -> None:
        self._calls.submit(lambda: self._effects.report(queued.pod, reason, message, nominated))

    def _node(self, name: str) -> Node:
        node = self.cluster.nodes.nodes[self.cluster.nodes.rows[name]]
        assert node is not None
        return node

    def _claims_ready(self, queued: QueuedPod, info: PodInfo, error: Exception | None) -> None:
        if error is None:
            self._calls.submit(lambda: self._bind(queued, info))
        else:
            self._not_bound(queued, info, error)

    async def _bind(self, queued: QueuedPod, info: PodInfo) -> None:
        try:
            await self._effects.bind(info)
        except (ApiError, OSError, TimeoutError) as error:
            self._not_bound(queued, info, error)
        else:
            self.cache.bound(info, self._clock.monotonic())
            if self.queue.has_active:
                self._wake.set()

    def _not_bound(self, queued: QueuedPod, info: PodInfo, error: Exception) -> None:
        """Give the room back and, unless the pod is gone or has a node by now, try again after a backoff."""
        if not self.cache.forget(info):
            return
        self._happened(Trigger.POD_GONE)
        if isinstance(error, ApiError) and error.code == 404:
            return
        self._count("error")
        _logger.warning("binding failed", pod="/".join(info.key), node=info.node_name, error=str(error))
        pod = self._inputs.pod(info.key)
        if pod is None or pod.spec.node_name or pod.metadata.uid != info.uid:
            return
        self.queue.restore(queued, pod, self._clock.monotonic())
        self._report(queued, SCHEDULER_ERROR, f"binding rejected: {error}", None)

    def _count(self, result: str) -> None:
        metrics.ATTEMPTS.labels(result, self._config.scheduler_name).inc()
