"""The pod lifecycle event generator: learns what containers do by themselves.

The runtime's events where it has them, with a list now and then in case one was lost; else a list every second, at once
after an action. Either costs nothing while the node runs no pod.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from tiphys.base.backoff import Backoff
from tiphys.base.clock import Clock
from tiphys.base.logging import get_logger
from tiphys.cri.errors import CriCode, CriError
from tiphys.cri.runtime import Runtime
from tiphys.cri.types import ContainerState, EventType, SandboxState

RELIST_SECONDS: Final = 1.0
RELIST_WITH_EVENTS_SECONDS: Final = 60.0
RELIST_SOONEST_SECONDS: Final = 0.1
_logger = get_logger(__name__)


class Watched(Protocol):
    """What the generator is to watch, and whom to tell."""

    def running_containers(self) -> frozenset[str]: ...

    def ready_sandboxes(self) -> frozenset[str]: ...

    def container_changed(self, container_id: str) -> None:
        """It has exited or is gone: ask the runtime."""
        ...

    def sandbox_lost(self, sandbox_id: str) -> None: ...


class Pleg:
    """`run` for as long as the node does; `healthy` says whether the runtime answered lately."""

    def __init__(self, runtime: Runtime, clock: Clock, watched: Watched) -> None:
        self._runtime = runtime
        self._clock = clock
        self._watched = watched
        self._soon = asyncio.Event()
        self._events = False
        self.last_relist = clock.monotonic()

    def act(self) -> None:
        """Something was started: without events, look again soon."""
        if not self._events:
            self._soon.set()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._relist_forever(), name="pleg/relist")
            group.create_task(self._listen_forever(), name="pleg/events")

    async def _listen_forever(self) -> None:
        backoff = Backoff(0.2, 2.0, 10.0)
        while True:
            try:
                async for event in self._runtime.events():
                    if not event.container_id:
                        self._events = True
                        backoff.reset()
                        self._soon.set()  # what happened before the subscription
                    elif event.type in (EventType.STOPPED, EventType.DELETED):
                        self._stopped(event.container_id)
            except CriError as error:
                if error.code is CriCode.UNIMPLEMENTED:
                    return
                _logger.info("runtime events ended", error=str(error))
            self._events = False
            self._soon.set()
            await self._clock.sleep(backoff.next_seconds())

    def _stopped(self, id: str) -> None:
        if id in self._watched.ready_sandboxes():
            self._watched.sandbox_lost(id)
        else:
            self._watched.container_changed(id)

    async def _relist_forever(self) -> None:
        pause = RELIST_SECONDS
        while True:
            await self._pause(pause)
            eager = self._soon.is_set()
            self._soon.clear()
            try:
                await self.relist()
            except CriError as error:
                _logger.info("relist failed", error=str(error))
            if self._events:
                pause = RELIST_WITH_EVENTS_SECONDS
            elif eager:
                pause = RELIST_SOONEST_SECONDS
            else:
                pause = min(pause * 2, RELIST_SECONDS)

    async def _pause(self, seconds: float) -> None:
        sleeping = asyncio.ensure_future(self._clock.sleep(seconds))
        waking = asyncio.ensure_future(self._soon.wait())
        try:
            await asyncio.wait((sleeping, waking), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            waking.cancel()

    async def relist(self) -> None:
        """Compare what runs with what should; raises CriError."""
        containers, sandboxes = self._watched.running_containers(), self._watched.ready_sandboxes()
        if containers:
            states = {c.id: c.state for c in await self._runtime.list_containers()}
            for id in containers:
                if states.get(id) is not ContainerState.RUNNING:
                    self._watched.container_changed(id)
        if sandboxes:
            ready = {s.id for s in await self._runtime.list_sandboxes(state=SandboxState.READY)}
            for id in sandboxes - ready:
                self._watched.sandbox_lost(id)
        self.last_relist = self._clock.monotonic()
