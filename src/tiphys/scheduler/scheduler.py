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
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import Pod
from tiphys.base.clock import Clock, SystemClock
from tiphys.base.logging import get_logger
from tiphys.base.tasks import Supervisor
from tiphys.client import Client, EventRecorder
from tiphys.scheduler import metrics
from tiphys.scheduler.algorithm import EXTENDER, Algorithm, Placed, Unplaceable
from tiphys.scheduler.binding import Bindings, Start, Together
from tiphys.scheduler.cache import PodCache
from tiphys.scheduler.cluster import Cluster, PodKey
from tiphys.scheduler.config import SchedulerConfig
from tiphys.scheduler.effects import SCHEDULER_ERROR, UNSCHEDULABLE, Calls, Effects
from tiphys.scheduler.evaluation import MAXIMUM_EVALUATIONS
from tiphys.scheduler.events import Events
from tiphys.scheduler.explaining.carried import CarriedReasons
from tiphys.scheduler.extenders.asking import Extenders
from tiphys.scheduler.extenders.lane import Lane
from tiphys.scheduler.extenders.transport import ExtenderError
from tiphys.scheduler.framework import Rejected, Trigger
from tiphys.scheduler.gangs.cycle import PLUGIN, GangCycle
from tiphys.scheduler.gangs.groups import GroupKey
from tiphys.scheduler.gangs.trial import Removal
from tiphys.scheduler.handle import Handle
from tiphys.scheduler.inputs import Inputs
from tiphys.scheduler.making_room import MakingRoom
from tiphys.scheduler.nominations import Nominations
from tiphys.scheduler.profiles import DEFAULT_SCHEDULER_NAME, Profile
from tiphys.scheduler.queue import Group, QueuedPod, SchedulingQueue
from tiphys.scheduler.scheduling import Scheduling
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
        self._client = client
        self._templates = Templates(self._facts)
        self.cluster = Cluster()
        self.cache = PodCache(self.cluster, self._templates, assumed_seconds=config.assumed_seconds)
        self.queue = SchedulingQueue(
            initial_backoff_seconds=config.initial_backoff_seconds,
            maximum_backoff_seconds=config.maximum_backoff_seconds,
            unschedulable_seconds=config.unschedulable_seconds,
            gate=lambda pod: self._of(pod).profile.gate(pod),
            came=metrics.incoming,
        )
        self._nominations = Nominations()
        self._calls = Calls(config.concurrent_calls)
        self._events = Events()
        self._wake = asyncio.Event()
        self._volumes = VolumeBinder(client, self.cluster.volumes, self._clock)
        recorder = EventRecorder(client, "scheduler", config.host, clock=self._clock)
        self.handle = Handle(
            client,
            self.cluster,
            self._clock,
            recorder,
            self._volumes,
            self._happened,
            self._activate,
            self._calls.submit,
        )
        extenders = Extenders(config.extenders) if config.extenders else None
        binder = extenders.bind if extenders is not None else None
        self._bindings = Bindings(self._calls, self.handle.waiting, self._clock, self._bound, binder)
        profiles = [make(self.handle) for make in config.profiles]
        self._profiles = {profile.scheduler_name: self._scheduling(profile, rng) for profile in profiles}
        self._room = MakingRoom(self.handle, self._nominations, self.queue, self._calls, self._wake.set)
        self._inputs = Inputs(
            client,
            frozenset(self._profiles),
            self._clock,
            self.queue,
            self.cache,
            self.cluster,
            self._nominations,
            self._happened,
            self._volumes,
            self._bindings.stop,
            self.handle.gangs,
        )
        self._lane = self._lane_for(extenders, rng or random.Random()) if extenders is not None else None
        wanted = self._lane.wants if self._lane is not None else None
        self._gangs = GangCycle(
            self.handle.gangs, self.queue, self.cache, self.cluster, self._algorithm_of, self._info, wanted
        )

    def _scheduling(self, profile: Profile, rng: random.Random | None) -> Scheduling:
        algorithm = Algorithm(self.cluster, profile, rng or random.Random(), self._nominations)
        recorder = EventRecorder(self._client, profile.scheduler_name, self._config.host, clock=self._clock)
        return Scheduling(
            profile, algorithm, Effects(self._client, recorder, profile.scheduler_name, self._clock), recorder
        )

    def _lane_for(self, extenders: Extenders, rng: random.Random) -> Lane:
        return Lane(
            extenders,
            self.handle,
            self.queue,
            rng,
            lambda queued: (self._info(queued), self._algorithm_of(queued.pod)),
            self._inputs.disruptions,
            self._follow,
            self._failed_in_lane,
        )

    def _of(self, pod: Pod) -> Scheduling:
        return self._profiles[pod.spec.scheduler_name or DEFAULT_SCHEDULER_NAME]

    def _algorithm_of(self, pod: Pod) -> Algorithm:
        return self._of(pod).algorithm

    def _facts(self, pod: Pod) -> dict[str, object]:
        """Of a pod that is another scheduler's what the first profile sees: it takes room and disks all the same."""
        first = next(iter(self._profiles.values()))
        return self._profiles.get(pod.spec.scheduler_name or DEFAULT_SCHEDULER_NAME, first).profile.facts(pod)

    async def run(self) -> None:
        """Schedule until cancelled. A restart rebuilds everything from the API: what is bound, what waits."""
        try:
            async with Supervisor("scheduler") as supervisor:
                await self.handle.start(supervisor)
                await self._inputs.start(supervisor)
                self._adopt_nominations()
                supervisor.spawn(self._decide, "decide")
                await supervisor.wait()
        finally:
            if self._lane is not None:
                await self._lane.close()
            await self._bindings.close()
            await self._calls.close()
            for recorder in (self.handle.recorder, *(scheduling.recorder for scheduling in self._profiles.values())):
                await recorder.close()

    def _happened(self, trigger: Trigger, old: Any = None, new: Any = None) -> None:
        self._events.add(trigger, old, new)
        self._wake.set()

    def _activate(self, keys: Iterable[PodKey]) -> None:
        for key in keys:
            self.queue.activate(key)
        self._wake.set()

    def _adopt_nominations(self) -> None:
        for queued in self.queue:
            if queued.pod.status.nominated_node_name:
                info = self._info(queued)
                self._nominations.set(info, queued.pod.status.nominated_node_name)

    async def _decide(self) -> None:
        while True:
            self._wake.clear()
            now = self._clock.monotonic()
            for info in self.cache.expire(now):
                _logger.warning("binding never seen; the pod is forgotten", pod="/".join(info.key))
                self._events.add(Trigger.POD_GONE)
            self.queue.flush(now)
            if self._events.trigger:
                events, self._events = self._events, Events()
                self._move(events, now)
            ahead = len(self._calls) >= MAXIMUM_CALLS_AHEAD
            if not ahead:
                self._turn(now)
            if self._events.trigger or (self.queue.has_active and not ahead):
                await asyncio.sleep(0)
            else:
                await self._sleep()

    def _move(self, events: Events, now: float) -> None:
        trigger, groups = events.trigger, self.queue.groups
        self.queue.regate(lambda queued: self._of(queued.pod).algorithm.is_helped(queued.gated_by, trigger), now)
        # Asking many groups takes longer than a turn may: then they are all tried, a turn at a time.
        few = groups <= MAXIMUM_EVALUATIONS // 2

        def helps(group: Group, _: Trigger) -> bool | None:
            algorithm = self._profiles[group.template.scheduler_name].algorithm
            if not few:
                return algorithm.concerns(group, events, groups)
            return (self._gangs if group.gang is not None else algorithm).helps(group, events, groups)

        self.queue.move(trigger, helps, now)

    async def _sleep(self) -> None:
        """Until something happens, or the next backoff is over."""
        for place, count in self.queue.counts().items():
            metrics.PENDING.labels(place).set(count)
        metrics.cache_size(nodes=self.cluster.nodes.count, pods=len(self.cache), assumed_pods=self.cache.assumed)
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
        while (queued := self.queue.pop(now)) is not None:
            started = time.perf_counter()
            try:
                self._schedule(queued, now)
            except Exception as error:
                # One pod the code cannot digest must not keep the others from their nodes.
                _logger.exception("pod not scheduled", pod="/".join(queued.key))
                self._count("error", queued.pod)
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
        info, scheduling = self._info(queued), self._of(pod)
        gang = self.handle.gangs.gang_of(pod) if scheduling.knows_gangs else None
        if gang is not None and self._gangs.needed(gang):
            self._schedule_gang(gang, queued, now)
            return
        if self._lane is not None and self._lane.wants(pod):
            self._lane.put(queued)
            return
        self._follow(queued, scheduling.algorithm.decide(info, self._inputs.disruptions), now)

    def _failed_in_lane(self, queued: QueuedPod, error: Exception) -> None:
        self._count("error", queued.pod)
        self.queue.failed(queued, self._clock.monotonic())
        self._end_nomination(queued.key)
        said = str(error) if isinstance(error, ExtenderError) else f"scheduling failed: {error!r}"
        self._report(queued, SCHEDULER_ERROR, said, "")

    def _follow(self, queued: QueuedPod, decision: Placed | Unplaceable, now: float) -> None:
        """Do as was decided."""
        pod, info, scheduling = queued.pod, self._info(queued), self._of(queued.pod)
        if isinstance(decision, Placed):
            self.cache.assume(info, decision.node_name)
            self._bind([queued], None)
            return
        self._count("unschedulable", pod)
        self.queue.unschedulable(queued, decision.rejected_by, now, decision.message)
        nominated: str | None = None
        if decision.preemption is not None:
            nominated = self._room.preempt(info, decision.preemption, scheduling.effects)
        elif decision.ends_nomination:
            nominated = ""
            self._end_nomination(queued.key)
        # Computed when it is sent, and only if it is: most attempts find that the pod says it already.
        said = (EXTENDER, decision.message) if EXTENDER in decision.rejected_by else ("", "")
        why = partial(self._why, scheduling.reasons, info, said)
        self._report(queued, UNSCHEDULABLE, decision.message, nominated, why)

    def _bind(self, placed: Iterable[QueuedPod], together: Together | None) -> None:
        """Bind pods that have a place."""
        starts: list[Start] = []
        for queued in placed:
            info, scheduling = self._info(queued), self._of(queued.pod)
            self._count("scheduled", queued.pod)
            self.queue.remove(queued.key)
            if self._nominations.node_of(queued.key) != info.node_name:
                self._end_nomination(queued.key)
            self._nominations.remove(queued.key)
            failed = partial(self._not_bound, queued, info)
            starts.append(Start(info, scheduling.profile, scheduling.effects, failed, together is not None, queued))
            self._events.add(Trigger.POD_PLACED, None, queued.pod)
        self._bindings.start_together(starts, together)

    def _schedule_gang(self, gang: GroupKey, first: QueuedPod, now: float) -> None:
        """All of it that waits, in one go."""
        needed, group = self._gangs.needed(gang), self.handle.gangs.of(gang)
        outcome = self._gangs.run(gang, first, self._inputs.disruptions, now)
        if outcome.refusal is None:
            together = Together(needed, group.timeout_seconds, PLUGIN, gang.name, self.handle.waiting)
            self._bind(outcome.placed, together)
            for queued in outcome.refused:
                # The gang has what it needs: from now on these are pods like others.
                self.queue.failed(queued, now)
            return
        nominated = {removal.info.key: self._make_room(removal) for removal in outcome.removals}
        for queued in outcome.refused:
            if not outcome.removals and not outcome.waits_for_victims:
                # It gets no room that way: nothing is kept from others for it.
                nominated[queued.key] = ""
                if self._nominations.node_of(queued.key):
                    self._nominations.remove(queued.key)
                    self._happened(Trigger.POD_GONE)
            self._count("error" if outcome.failed else "unschedulable", queued.pod)
            if outcome.failed:
                self.queue.failed(queued, now)
            else:
                self.queue.unschedulable(queued, outcome.refusal.rejected_by, now, outcome.refusal.message, gang)
            reason = SCHEDULER_ERROR if outcome.failed else UNSCHEDULABLE
            info = self._info(queued)
            why = partial(self._why, self._of(queued.pod).reasons, info, (PLUGIN, outcome.refusal.message))
            self._report(queued, reason, outcome.refusal.message, nominated.get(queued.key), why)

    def _make_room(self, removal: Removal) -> str:
        return self._room.preempt(removal.info, removal.candidate, self._of(removal.info.pod).effects)

    def _why(self, reasons: CarriedReasons, info: PodInfo, besides: tuple[str, str] = ("", "")) -> str:
        promised = self._nominations.blocked(info, self.cluster)
        return reasons.of(info.template, self._clock.monotonic(), promised, besides)

    def _info(self, queued: QueuedPod) -> PodInfo:
        if queued.info is None:
            spread = self._inputs.owners.selector_of(queued.pod)
            queued.info = PodInfo(queued.pod, self._templates.of(queued.pod, spread))
        return queued.info

    def _end_nomination(self, key: PodKey) -> None:
        """If a node was kept for the pod, others may have the room."""
        if self._nominations.remove(key):
            self._events.add(Trigger.POD_GONE)

    def _report(
        self,
        queued: QueuedPod,
        reason: str,
        message: str,
        nominated: str | None,
        why: Callable[[], str] | None = None,
    ) -> None:
        effects = self._of(queued.pod).effects
        self._calls.submit(lambda: effects.report(queued.pod, reason, message, nominated, why))

    def _bound(self, start: Start) -> None:
        now = self._clock.monotonic()
        self.cache.bound(start.info, now)
        if start.queued is not None:
            metrics.bound(start.queued, start.profile.scheduler_name, now)
        if self.queue.has_active:
            self._wake.set()

    def _not_bound(self, queued: QueuedPod, info: PodInfo, error: Exception) -> None:
        """Give the room back and, unless the pod is gone or has a node by now, try again after a backoff."""
        if not self.cache.forget(info):
            return
        # What happened since it was popped it has not heard of: it is told with what happens now.
        self._happened(Trigger.POD_GONE | self.queue.missed(queued))
        if isinstance(error, ApiError) and error.code == 404:
            return
        rejected = isinstance(error, Rejected) and error.unschedulable
        self._count("unschedulable" if rejected else "error", info.pod)
        _logger.warning("binding failed", pod="/".join(info.key), node=info.node_name, error=str(error))
        pod = self._inputs.pod(info.key)
        if pod is None or pod.spec.node_name or pod.metadata.uid != info.uid:
            return
        now = self._clock.monotonic()
        if isinstance(error, Rejected):
            self.queue.restore(queued, pod, now, frozenset({error.plugin} if rejected else ()))
            self._report(queued, UNSCHEDULABLE if rejected else SCHEDULER_ERROR, str(error), None)
            return
        self.queue.restore(queued, pod, now)
        self._report(queued, SCHEDULER_ERROR, f"binding rejected: {error}", None)

    def _count(self, result: str, pod: Pod) -> None:
        metrics.ATTEMPTS.labels(result, pod.spec.scheduler_name or DEFAULT_SCHEDULER_NAME).inc()
