"""What every controller is made of: an environment, a queue of keys, workers that bring one up to date at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, TypeVar

from tiphys.api.errors import ApiError
from tiphys.base.clock import Clock, SystemClock
from tiphys.base.logging import get_logger
from tiphys.base.workqueue import ShutDown, WorkQueue
from tiphys.client import Client, EventRecorder, Informer, ObjectKey, SharedInformers, key_of
from tiphys.controllers.config import ControllerManagerConfig

T = TypeVar("T")

SYNC_SECONDS_MAX: Final = 600.0
"""One sync that takes longer than this hangs; it is cancelled and its key tried again."""
RETRY_SECONDS_MAX: Final = 30.0
"""Between tries of a key that keeps failing: soon enough once what was wrong is put right."""
NO_ANSWER_SECONDS: Final = 1.0
"""Before a key is tried again while the apiserver does not answer."""
_logger = get_logger(__name__)


class TryAgain(Exception):
    """Raised by a sync whose work is not done for a reason that users have been told; the text is for the log."""


@dataclass(slots=True)
class Environment:
    """What controllers share. `informers` are asked for while controllers are made and run by the manager."""

    client: Client
    informers: SharedInformers
    config: ControllerManagerConfig = field(default_factory=ControllerManagerConfig)
    clock: Clock = field(default_factory=SystemClock)
    _recorders: list[EventRecorder] = field(default_factory=list)

    def informer(self, kind: type[T]) -> Informer[T]:
        """The shared informer of all objects of `kind`."""
        return self.informers.of(kind)

    def recorder(self, component: str) -> EventRecorder:
        """A new recorder of events that say they come from `component`."""
        recorder = EventRecorder(self.client, component, clock=self.clock)
        self._recorders.append(recorder)
        return recorder

    async def close(self) -> None:
        """Write the events that wait."""
        await asyncio.gather(*(recorder.close() for recorder in self._recorders))


class Controller:
    """A control loop. It is made before informers run, so that it may ask for them and add handlers and indexes."""

    name: ClassVar[str]

    async def run(self) -> None:
        """Work until cancelled. Called once the shared informers have synced."""
        raise NotImplementedError


class KeyedController(Controller):
    """Brings one object at a time to what it should be; a failed one is tried again after a growing delay."""

    workers: ClassVar[int] = 5

    def __init__(self) -> None:
        self.queue: WorkQueue[ObjectKey] = WorkQueue(maximum_seconds=RETRY_SECONDS_MAX)

    async def sync(self, key: ObjectKey) -> None:
        """Look at the object and do what is missing. Raising means: try again later."""
        raise NotImplementedError

    def enqueue(self, obj: Any) -> None:
        """Look at `obj` soon."""
        self.queue.add(key_of(obj))

    def enqueue_changed(self, old: Any, new: Any) -> None:
        """Look at `new` soon: an `on_update` handler."""
        self.queue.add(key_of(new))

    def watch(self, informer: Informer[Any]) -> None:
        """Look at each object of `informer` whenever it changes."""
        informer.add_handler(on_add=self.enqueue, on_update=self.enqueue_changed, on_delete=self.enqueue)

    async def run(self) -> None:
        tasks = [asyncio.create_task(self._work(), name=f"{self.name}/{n}") for n in range(self.workers)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _work(self) -> None:
        while True:
            try:
                key = await self.queue.get()
            except ShutDown:
                return
            try:
                await self.sync_once(key)
            finally:
                self.queue.done(key)

    async def sync_once(self, key: ObjectKey) -> bool:
        """One sync with its failures handled: logged and queued again. Whether it succeeded."""
        try:
            async with asyncio.timeout(SYNC_SECONDS_MAX):
                await self.sync(key)
        except ApiError as error:
            seconds = self.queue.add_rate_limited(key)
            # Somebody else was faster: the informer will show what they did.
            log = _logger.debug if error.code == 409 else _logger.info
            log("sync failed", controller=self.name, key=str(key), error=error.message, again_in_seconds=seconds)
        except TryAgain as error:
            seconds = self.queue.add_rate_limited(key)
            _logger.info("not done", controller=self.name, key=str(key), error=str(error), again_in_seconds=seconds)
        except (OSError, TimeoutError) as error:
            # Not the key's fault, and over for all keys at once: no reason to wait longer each time.
            seconds = NO_ANSWER_SECONDS if self.queue.failures(key) else self.queue.add_rate_limited(key)
            self.queue.add_after(key, seconds)
            _logger.info("no answer", controller=self.name, key=str(key), error=repr(error), again_in_seconds=seconds)
        except Exception:
            self.queue.add_rate_limited(key)
            _logger.exception("sync failed", controller=self.name, key=str(key))
        else:
            self.queue.forget(key)
            return True
        return False


ControllerFactory = Callable[[Environment], Controller]
