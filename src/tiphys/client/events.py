"""Events: what a component says about an object, for people (``kubectl describe``)."""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import Event, EventSource, ObjectReference
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.base.backoff import Backoff
from tiphys.base.clock import Clock, SystemClock, rfc3339
from tiphys.base.logging import get_logger
from tiphys.base.workers import Workers
from tiphys.client.client import Client
from tiphys.client.event_correlation import Correlator, EventKey, Sighting

NORMAL: Final = "Normal"
WARNING: Final = "Warning"
MAX_QUEUED: Final = 20_000
"""Events that wait for the apiserver, some 10 MB; more are dropped, newest first.

They are written one at a time, behind what the component does: it may do 10,000 things at once, and speak of all.
"""
MAX_TOGETHER: Final = 1000
"""Of those that wait, so many are looked through at once for what is one event."""
MAX_TRIES: Final = 12
MAX_MESSAGE_CHARS: Final = 1024
_logger = get_logger(__name__)


def reference_to(obj: Any, *, field_path: str = "") -> ObjectReference:
    """The ObjectReference that points at an API object."""
    meta = obj.metadata
    return ObjectReference(
        kind=obj.kind,
        api_version=obj.api_version,
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        resource_version=meta.resource_version,
        field_path=field_path or None,
    )


class EventRecorder:
    """Writes events in the background; never blocks and never fails its caller.

    `component` is who reports (upstream's name: ``deployment-controller``), `host` its node, if it has one. Equal
    events become one with a count. Needs a running event loop; idle, it has no task.
    """

    def __init__(self, client: Client, component: str, host: str = "", *, clock: Clock | None = None) -> None:
        self.component = component
        self._client = client
        self._host = host
        self._clock = clock or SystemClock()
        self._correlator = Correlator()
        self._queue: deque[tuple[ObjectReference, EventKey]] = deque()
        self._writer = Workers(f"{component}/events", self._queue.__len__, self._write_waiting)
        self._last_name_nanos = 0
        self._dropped = 0

    def event(self, obj: Any, type: str, reason: str, message: str, *, field_path: str = "") -> None:
        """Say something about `obj` (an API object or ObjectReference). `type` is Normal or Warning."""
        if len(self._queue) >= MAX_QUEUED:
            self._dropped += 1
            return
        reference = obj if isinstance(obj, ObjectReference) else reference_to(obj, field_path=field_path)
        key = EventKey(
            uid=reference.uid or "",
            namespace=reference.namespace or "",
            name=reference.name or "",
            kind=reference.kind or "",
            field_path=reference.field_path or "",
            type=type,
            reason=reason,
            message=message[:MAX_MESSAGE_CHARS],
        )
        self._queue.append((reference, key))
        self._writer.wake()

    async def close(self, grace_seconds: float = 2.0) -> None:
        """Write what waits, for at most `grace_seconds`."""
        await self._writer.close(grace_seconds)

    async def _write_waiting(self) -> None:
        if self._dropped:
            _logger.warning("events dropped: too many waited", component=self.component, count=self._dropped)
            self._dropped = 0
        # What waits together and is one event by now is written once, with its count.
        together: dict[int, tuple[ObjectReference, EventKey, Sighting]] = {}
        for _ in range(min(len(self._queue), MAX_TOGETHER)):
            reference, key = self._queue.popleft()
            found = self._correlator.correlate(key, self._clock.monotonic())
            if found is not None:
                together[id(found[1])] = (reference, *found)
        for reference, key, sighting in together.values():
            await self._write(reference, key, sighting)

    async def _write(self, reference: ObjectReference, key: EventKey, sighting: Sighting) -> None:
        backoff = Backoff(0.1, 2.0, 10.0)
        for _ in range(MAX_TRIES):
            try:
                await self._write_once(reference, key, sighting)
                return
            except ApiError as error:
                if error.reason == "AlreadyExists":
                    # Another recorder spoke of the object in the same instant; the next name is free.
                    continue
                # A namespace that is going away takes no events; nobody will miss them.
                if error.code < 500 and error.code != 429:
                    _logger.debug("event refused", reason=key.reason, error=error.message)
                    return
            except (OSError, TimeoutError):
                pass
            await self._clock.sleep(backoff.next_seconds())
        _logger.warning("event dropped: the apiserver does not answer", reason=key.reason)

    async def _write_once(self, reference: ObjectReference, key: EventKey, sighting: Sighting) -> None:
        now = self._clock.now()
        namespace = reference.namespace or "default"
        if sighting.name:
            change = {"count": sighting.count, "lastTimestamp": rfc3339(now), "message": key.message}
            try:
                await self._client.patch(Event, sighting.name, namespace, change, type="strategic")
                return
            except ApiError as error:
                if error.code != 404:
                    raise
                sighting.count = 1
        # As upstream names them; no two of one recorder are alike, however fast they come.
        self._last_name_nanos = max(int(now * 1e9), self._last_name_nanos + 1)
        name = f"{reference.name}.{self._last_name_nanos:x}"
        await self._client.create(self._made(reference, key, sighting, name, namespace, rfc3339(now)))
        sighting.name = name

    def _made(
        self, reference: ObjectReference, key: EventKey, sighting: Sighting, name: str, namespace: str, moment: str
    ) -> Event:
        return Event(
            metadata=ObjectMeta(name=name, namespace=namespace),
            involved_object=reference,
            type=key.type,
            reason=key.reason,
            message=key.message,
            source=EventSource(component=self.component, host=self._host or None),
            reporting_component=self.component,
            reporting_instance=self._host,
            count=sighting.count,
            first_timestamp=moment,
            last_timestamp=moment,
        )
