"""From a decision to a bound pod: reserve, permit, pre-bind, bind, and back again when one of them fails.

    start ──reserve──► permit ──nothing to wait for──► [queue of calls] bind ──► bound
                │          └──► a task of its own: wait, pre-bind ──► bind ──► bound
                └── Rejected, ApiError, too late ──► unreserve ──► failed(error)

Most pods need nothing before they are bound, and have no task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tiphys.api.errors import ApiError
from tiphys.base.clock import Clock
from tiphys.base.logging import get_logger
from tiphys.scheduler.cluster import PodKey
from tiphys.scheduler.effects import Calls, Effects
from tiphys.scheduler.framework import Plugin, Point, Rejected, Wait
from tiphys.scheduler.handle import WaitingPods
from tiphys.scheduler.plugins.built_in import DefaultBinder
from tiphys.scheduler.profiles import Profile
from tiphys.scheduler.template import PodInfo

_logger = get_logger(__name__)
Failed = Callable[[Exception], None]


class Bindings:
    """Binds placed pods. A pod whose cycle has a task can be stopped before it is sent to the apiserver."""

    def __init__(self, calls: Calls, waiting: WaitingPods, clock: Clock, bound: Callable[[PodInfo], None]) -> None:
        self._calls = calls
        self._waiting = waiting
        self._clock = clock
        self._bound = bound
        self._tasks: dict[PodKey, asyncio.Task[None]] = {}

    def start(self, info: PodInfo, profile: Profile, effects: Effects, failed: Failed) -> None:
        """See the drawing. `failed` is called at most once, perhaps at once; the pod is unreserved then."""
        try:
            waits = self._admit(info, profile)
        except Exception as error:
            _unreserve(info, profile)
            failed(error)
            return
        work = [plugin for plugin in profile.at(Point.PRE_BIND) if plugin.has_work(info)]
        if not waits and not work:
            self._calls.submit(lambda: self._bind(info, profile, effects, failed))
            return
        task = asyncio.get_running_loop().create_task(
            self._prepare(info, waits, work, profile, effects, failed), name="scheduler/binding"
        )
        self._tasks[info.key] = task

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
    def _admit(info: PodInfo, profile: Profile) -> dict[str, Wait]:
        waits: dict[str, Wait] = {}
        for plugin in profile.at(Point.RESERVE):
            with _named(plugin):
                plugin.reserve(info, info.node_name)
        for plugin in profile.at(Point.PERMIT):
            with _named(plugin):
                if (wait := plugin.permit(info, info.node_name)) is not None:
                    waits[plugin.name] = wait
        return waits

    async def _prepare(
        self,
        info: PodInfo,
        waits: dict[str, Wait],
        work: list[Plugin],
        profile: Profile,
        effects: Effects,
        failed: Failed,
    ) -> None:
        error: Exception | None = None
        ready = False
        try:
            if waits:
                await self._waiting.wait(info, waits, self._clock)
            for plugin in work:
                with _named(plugin):
                    await plugin.pre_bind(info, info.node_name)
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
                _unreserve(info, profile)
        if error is not None:
            failed(error)
        else:
            self._calls.submit(lambda: self._bind(info, profile, effects, failed))

    async def _bind(self, info: PodInfo, profile: Profile, effects: Effects, failed: Failed) -> None:
        try:
            for plugin in profile.at(Point.BIND):
                if isinstance(plugin, DefaultBinder):
                    await effects.bind(info)
                    break
                with _named(plugin):
                    done = await plugin.bind(info, info.node_name)
                if done:
                    effects.bound(info)
                    break
            else:
                await effects.bind(info)
        except (Rejected, ApiError, OSError, TimeoutError) as error:
            _unreserve(info, profile)
            failed(error)
            return
        except Exception as error:
            _logger.exception("a plugin failed to bind", pod="/".join(info.key))
            _unreserve(info, profile)
            failed(error)
            return
        self._bound(info)
        for plugin in profile.at(Point.POST_BIND):
            plugin.post_bind(info, info.node_name)


@contextmanager
def _named(plugin: Plugin) -> Iterator[None]:
    try:
        yield
    except Rejected as error:
        error.plugin = plugin.name
        raise


def _unreserve(info: PodInfo, profile: Profile) -> None:
    """In the reverse order; one plugin's failure is not another's."""
    for plugin in reversed(profile.at(Point.RESERVE)):
        try:
            plugin.unreserve(info, info.node_name)
        except Exception:
            _logger.exception("a plugin failed to unreserve", plugin=plugin.name, pod="/".join(info.key))
