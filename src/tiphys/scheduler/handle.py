"""What a plugin gets of the running scheduler: the API, what is watched, and the pods that wait for a permit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, Final, TypeVar

from tiphys.base.clock import Clock, rfc3339
from tiphys.base.logging import get_logger
from tiphys.base.tasks import Supervisor
from tiphys.client import Client, EventRecorder, Informer
from tiphys.scheduler.changes import Changes
from tiphys.scheduler.cluster import Cluster, PodKey
from tiphys.scheduler.framework import Rejected, Trigger, Wait
from tiphys.scheduler.gangs.membership import Gangs
from tiphys.scheduler.template import PodInfo
from tiphys.scheduler.volume_binder import VolumeBinder

T = TypeVar("T")
SYNC_SECONDS: Final = 5.0
"""How long the start waits for what plugins watch besides."""
_logger = get_logger(__name__)


class WaitingPod:
    """A pod on its node that some plugins do not let be bound yet."""

    def __init__(self, info: PodInfo, waits: dict[str, Wait]) -> None:
        self.info = info
        self.waits = waits
        """By plugin."""
        self.answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def allow(self, plugin: str) -> None:
        """That plugin has nothing against it any more; the last one frees the pod."""
        self.waits.pop(plugin, None)
        if not self.waits and not self.answer.done():
            self.answer.set_result(None)

    def reject(self, plugin: str, reason: str) -> None:
        """The pod loses its place."""
        if not self.answer.done():
            self.answer.set_exception(Rejected(reason, plugin=plugin))


class WaitingPods:
    """The pods that wait for a permit."""

    def __init__(self) -> None:
        self._pods: dict[PodKey, WaitingPod] = {}

    def __iter__(self) -> Iterator[WaitingPod]:
        return iter(list(self._pods.values()))

    def get(self, key: PodKey) -> WaitingPod | None:
        return self._pods.get(key)

    def allow(self, key: PodKey, plugin: str) -> None:
        """Nothing happens if the pod does not wait."""
        if (waiting := self._pods.get(key)) is not None:
            waiting.allow(plugin)

    def reject(self, key: PodKey, plugin: str, reason: str) -> None:
        """Nothing happens if the pod does not wait."""
        if (waiting := self._pods.get(key)) is not None:
            waiting.reject(plugin, reason)

    async def wait(self, info: PodInfo, waits: dict[str, Wait], clock: Clock) -> None:
        """Return once every plugin of `waits` has allowed the pod. Raises Rejected, also when the time is over."""
        waiting = self._pods[info.key] = WaitingPod(info, waits)
        plugin, first = min(waits.items(), key=lambda item: item[1].timeout_seconds)

        async def time_out() -> None:
            await clock.sleep(first.timeout_seconds)
            waiting.reject(plugin, f"timed out waiting on permit after {first.timeout_seconds:g} s")

        timer = asyncio.ensure_future(time_out())
        try:
            await waiting.answer
        finally:
            timer.cancel()
            if self._pods.get(info.key) is waiting:
                del self._pods[info.key]


class Handle:
    """One a scheduler, shared by the plugins of all its profiles."""

    def __init__(
        self,
        client: Client,
        cluster: Cluster,
        clock: Clock,
        recorder: EventRecorder,
        volumes: VolumeBinder,
        happened: Callable[[Trigger], None],
        activate: Callable[[Iterable[PodKey]], None],
        later: Callable[[Callable[[], Awaitable[Any]]], None] = lambda _: None,
    ) -> None:
        self.client = client
        self.cluster = cluster
        self.clock = clock
        self.recorder = recorder
        self.volumes = volumes
        self.waiting = WaitingPods()
        self.changes = Changes()
        """For plugins whose pods wait, before they are bound, for what the plugin is told by its informers."""
        self.gangs = Gangs()
        """The pod groups and who belongs to them."""
        self.happened = happened
        """Wake the pods that such an event may help."""
        self.activate = activate
        """Try these pods, if they are unschedulable or back off, without waiting for anything."""
        self.later = later
        """Have a call of the API done, soon; if it fails, that is logged."""
        self.informers: dict[type, Informer[Any]] = {}
        self._shared: dict[type, Any] = {}
        self._first: set[str] = set()

    def informer(self, kind: type[T]) -> Informer[T]:
        """What is known of a kind: one informer for all who ask. Ask when the plugin is made: it is started then."""
        if kind not in self.informers:
            self.informers[kind] = Informer(self.client, kind)
        return self.informers[kind]

    async def start(self, supervisor: Supervisor) -> None:
        """Follow what was asked for; returns when it is known. What cannot be listed, for it is not served or not
        allowed, is said, and waited for no longer than `SYNC_SECONDS`: pods that do not need it are not to wait."""
        for informer in self.informers.values():
            supervisor.spawn(informer.run, f"watch-{informer.view.resource.plural}")
        try:
            async with asyncio.timeout(SYNC_SECONDS):
                for informer in self.informers.values():
                    await informer.wait_synced()
        except TimeoutError:
            missing = [informer.view.resource.qualified for informer in self.informers.values() if not informer.synced]
            _logger.warning("what plugins ask for cannot be listed; may the scheduler read it?", resources=missing)

    def timestamp(self) -> str:
        """Now, as the API writes it."""
        return rfc3339(self.clock.now())

    def shared(self, kind: Callable[[], T]) -> T:
        """What all profiles' instances of a plugin have in common: made when first asked for."""
        key: Any = kind
        if key not in self._shared:
            self._shared[key] = kind()
        found: T = self._shared[key]
        return found

    def is_first(self, plugin: str) -> bool:
        """Whether this is the first instance of the plugin: the one that keeps what is shared up to date."""
        if plugin in self._first:
            return False
        self._first.add(plugin)
        return True
