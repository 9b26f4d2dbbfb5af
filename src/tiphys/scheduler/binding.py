"""From a decision to a bound pod: reserve, permit, pre-bind, bind, and back again when one of them fails.

    start ──reserve──► permit ──nothing to wait for──► [queue of calls] bind ──► bound
                │          └──► a task of its own: wait, pre-bind ──► bind ──► bound
                └── Rejected, ApiError, too late ──► unreserve ──► failed(error)

Most pods need nothing before they are bound, and have no task. Of pods that start together none is sent to be bound
before so many of them as must be are ready for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from tiphys.api.errors import ApiError
from tiphys.base.clock import Clock
from tiphys.base.logging import get_logger
from tiphys.scheduler.cluster import PodKey
from tiphys.scheduler.effects import Calls, Effects
from tiphys.scheduler.extenders.transport import ExtenderError
from tiphys.scheduler.framework import Plugin, Point, Rejected, Wait
from tiphys.scheduler.handle import WaitingPods
from tiphys.scheduler.plugins.built_in import DefaultBinder
from tiphys.scheduler.profiles import Profile
from tiphys.scheduler.queue import QueuedPod
from tiphys.scheduler.template import PodInfo

_logger = get_logger(__name__)
Failed = Callable[[Exception], None]
Binder = Callable[[PodInfo], Awaitable[bool]]
"""Binds a pod, if it is an extender's to bind: returns whether it was. Raises ExtenderError."""


class Start(NamedTuple):
    """A placed pod that is to be bound."""

    info: PodInfo
    profile: Profile
    effects: Effects
    failed: Failed
    """Called at most once, perhaps at once; the pod is unreserved then."""
    reserved: bool = False
    """Whether `reserve` was called for it."""
    queued: QueuedPod | None = None
    """What it was in the queue."""


class Bindings:
    """Binds placed pods. A pod whose cycle has a task can be stopped before it is sent to the apiserver."""

    def __init__(
        self,
        calls: Calls,
        waiting: WaitingPods,
        clock: Clock,
        bound: Callable[[Start], None],
        extender: Binder | None = None,
    ) -> None:
        self._calls = calls
        self._waiting = waiting
        self._clock = clock
        self._bound = bound
        self._extender = extender
        self._tasks: dict[PodKey, asyncio.Task[None]] = {}

    def start_together(self, starts: Sequence[Start], together: Together | None) -> None:
        """Bind them all: see the drawing, and Start. `together`: none of them before enough of them are ready."""
        ready: list[tuple[Start, dict[str, Wait], list[Plugin]]] = []
        for start in starts:
            try:
                if not start.reserved:
                    reserve(start.info, start.profile)
                waits = self._permit(start.info, start.profile)
            except Exception as error:
                unreserve(start.info, start.profile)
                start.failed(error)
            else:
                work = [plugin for plugin in start.profile.at(Point.PRE_BIND) if plugin.has_work(start.info)]
                ready.append((start, waits, work))
        if together is not None and len(ready) < together.needed:
            for start, _, _ in ready:
                unreserve(start.info, start.profile)
                start.failed(together.rejected())
            return
        if together is not None and any(waits or work for _, waits, work in ready):
            together.expect(start.info.key for start, _, _ in ready)
        else:
            together = None
        for start, waits, work in ready:
            if not waits and not work and together is None:
                self._calls.submit(lambda start=start: self._bind(start))  # type: ignore[misc]
                continue
            task = asyncio.get_running_loop().create_task(
                self._prepare(start, waits, work, together), name="scheduler/binding"
            )
            self._tasks[start.info.key] = task

    def stop(self, key: PodKey) -> None:
        """The pod is gone: nothing more is done for it."""
        if (task := self._tasks.get(key)) is not None:
            task.cancel()

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    @staticmethod
    def _permit(info: PodInfo, profile: Profile) -> dict[str, Wait]:
        waits: dict[str, Wait] = {}
        for plugin in profile.at(Point.PERMIT):
            with _named(plugin):
                if (wait := plugin.permit(info, info.node_name)) is not None:
                    waits[plugin.name] = wait
        return waits

    async def _prepare(
        self, start: Start, waits: dict[str, Wait], work: list[Plugin], together: Together | None
    ) -> None:
        info, profile = start.info, start.profile
        error: Exception | None = None
        ready = False
        try:
            if waits:
                await self._waiting.wait(info, waits, self._clock)
            for plugin in work:
                with _named(plugin):
                    await plugin.pre_bind(info, info.node_name)
            if together is not None:
                await together.arrive(info, self._clock)
            ready = True
        except (Rejected, ApiError, OSError, TimeoutError) as failure:
            error = failure
        except Exception as failure:
            _logger.exception("a plugin failed before binding", pod="/".join(info.key))
            error = failure
        finally:
            if self._tasks.get(info.key) is asyncio.current_task():
                del self._tasks[info.key]
            if not ready:
                unreserve(info, profile)
                if together is not None:
                    together.lose(info.key)
        if error is not None:
            start.failed(error)
        else:
            self._calls.submit(lambda: self._bind(start))

    async def _bind(self, start: Start) -> None:
        info, profile, effects, failed = start[:4]
        try:
            if self._extender is not None and await self._extender(info):
                effects.bound(info)
            else:
                await _bind(start)
        except (Rejected, ExtenderError, ApiError, OSError, TimeoutError) as error:
            unreserve(info, profile)
            failed(error)
            return
        except Exception as error:
            _logger.exception("a plugin failed to bind", pod="/".join(info.key))
            unreserve(info, profile)
            failed(error)
            return
        self._bound(start)
        for plugin in profile.at(Point.POST_BIND):
            plugin.post_bind(info, info.node_name)


class Together:
    """Pods of which `needed` are bound, or none: who is ready waits in `waiting` for the others, in `plugin`'s name."""

    def __init__(self, needed: int, timeout_seconds: float, plugin: str, name: str, waiting: WaitingPods) -> None:
        self.needed = needed
        self._timeout_seconds = timeout_seconds
        self._plugin = plugin
        self._name = name
        self._waiting = waiting
        self._expected: set[PodKey] = set()
        self._arrived: set[PodKey] = set()
        self._enough = False

    def rejected(self) -> Rejected:
        """What those are told that lost too many of the others."""
        said = f'pod group "{self._name}" has fewer than {self.needed} pods that can be bound'
        return Rejected(said, plugin=self._plugin)

    def expect(self, keys: Iterable[PodKey]) -> None:
        """These will arrive or be lost."""
        self._expected.update(keys)

    async def arrive(self, info: PodInfo, clock: Clock) -> None:
        """The pod is ready: returns when enough are. Raises Rejected if that cannot be any more, or takes too long."""
        self._arrived.add(info.key)
        self._enough = self._enough or len(self._arrived) >= self.needed
        if self._enough:
            for key in self._arrived:
                self._waiting.allow(key, self._plugin)
            return
        if len(self._expected) < self.needed:
            raise self.rejected()
        await self._waiting.wait(info, {self._plugin: Wait(self._timeout_seconds)}, clock)

    def lose(self, key: PodKey) -> None:
        """The pod will not be bound. Once enough have been ready the others are not stopped any more."""
        self._expected.discard(key)
        self._arrived.discard(key)
        if not self._enough and len(self._expected) < self.needed:
            for other in self._arrived:
                self._waiting.reject(other, self._plugin, str(self.rejected()))


async def _bind(start: Start) -> None:
    """By the first plugin that does."""
    info, profile, effects = start[:3]
    for plugin in profile.at(Point.BIND):
        if isinstance(plugin, DefaultBinder):
            break
        with _named(plugin):
            done = await plugin.bind(info, info.node_name)
        if done:
            effects.bound(info)
            return
    await effects.bind(info)


@contextmanager
def _named(plugin: Plugin) -> Iterator[None]:
    try:
        yield
    except Rejected as error:
        error.plugin = plugin.name
        raise


def reserve(info: PodInfo, profile: Profile) -> None:
    """Take for the placed pod what it needs there. Raises what the plugins do; then `unreserve` it."""
    for plugin in profile.at(Point.RESERVE):
        with _named(plugin):
            plugin.reserve(info, info.node_name)


def unreserve(info: PodInfo, profile: Profile) -> None:
    """In the reverse order; one plugin's failure is not another's."""
    for plugin in reversed(profile.at(Point.RESERVE)):
        try:
            plugin.unreserve(info, info.node_name)
        except Exception:
            _logger.exception("a plugin failed to unreserve", plugin=plugin.name, pod="/".join(info.key))
