"""Tells the API how pods are: only changes, the latest only, one request a pod at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from tiphys.api import codec
from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import Pod, PodStatus
from tiphys.base.backoff import Backoff
from tiphys.base.clock import Clock
from tiphys.base.logging import get_logger
from tiphys.base.workers import Workers
from tiphys.client.client import Client
from tiphys.kubelet.pods.status_patch import status_patch

HOLD_BACK_SECONDS: Final = 0.25
"""How long a status that is not urgent waits for the next change."""
_logger = get_logger(__name__)


@dataclass(slots=True)
class _Entry:
    pod: Pod
    """Who it is: name, namespace and the API's uid."""
    build: Callable[[], PodStatus]
    sent: dict[str, Any]
    """The status the API has, as far as is known."""
    version: int
    """The resourceVersion of `sent`."""
    sender: Workers = field(init=False)
    timer: asyncio.TimerHandle | None = None
    dirty: bool = False
    gone: bool = False

    def unsent(self) -> bool:
        return self.dirty and not self.gone


class StatusManager:
    """`publish` marks a pod's status as changed; it is built when it is sent. Idle, there is no task."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._entries: dict[str, _Entry] = {}

    def add(self, uid: str, pod: Pod, build: Callable[[], PodStatus]) -> None:
        """Start to tell about a pod; `pod` is as the API has it (a static pod's mirror)."""
        entry = self._entries.get(uid)
        if entry is None or entry.pod.metadata.uid != pod.metadata.uid:
            entry = self._entries[uid] = _Entry(pod, build, codec.to_dict(pod.status), _version(pod))
            entry.sender = Workers(f"status/{uid}", entry.unsent, partial(self._send, entry))
        else:
            self._observe(uid, entry, pod)

    def _observe(self, uid: str, entry: _Entry, pod: Pod) -> None:
        """Someone else may have written the status (a node taken for lost): say again how it is."""
        entry.pod = pod
        if entry.sender or _version(pod) <= entry.version:
            return
        entry.sent, entry.version = codec.to_dict(pod.status), _version(pod)
        self.publish(uid, urgent=False)

    def remove(self, uid: str) -> None:
        """Tell no more."""
        entry = self._entries.pop(uid, None)
        if entry is None:
            return
        entry.gone = True
        if entry.timer is not None:
            entry.timer.cancel()

    def publish(self, uid: str, *, urgent: bool) -> None:
        """The pod's status may have changed."""
        entry = self._entries.get(uid)
        if entry is None or entry.gone:
            return
        entry.dirty = True
        if urgent:
            self._start(entry)
        elif not entry.sender and entry.timer is None:
            loop = asyncio.get_running_loop()
            entry.timer = loop.call_later(HOLD_BACK_SECONDS, self._start, entry)

    async def flush(self, uid: str) -> None:
        """Return when the API has the pod's status as it is now, or has no such pod."""
        entry = self._entries.get(uid)
        if entry is None or entry.gone:
            return
        entry.dirty = True
        self._start(entry)
        await entry.sender.wait_idle()

    async def close(self) -> None:
        """Stop; what was not sent is not."""
        for entry in list(self._entries.values()):
            entry.gone = True
            if entry.timer is not None:
                entry.timer.cancel()
            await entry.sender.close()

    @staticmethod
    def _start(entry: _Entry) -> None:
        if entry.timer is not None:
            entry.timer.cancel()
            entry.timer = None
        if not entry.gone:
            entry.sender.wake()

    async def _send(self, entry: _Entry) -> None:
        backoff = Backoff(0.2, 2.0, 10.0)
        while entry.unsent():
            entry.dirty = False
            # A turn of the loop: events that arrive together make one status.
            await asyncio.sleep(0)
            status = codec.to_dict(entry.build())
            patch = status_patch(entry.sent, status)
            if not patch:
                continue
            try:
                entry.version = await self._patch(entry, patch)
                entry.sent = {**entry.sent, **status}
                for name in patch:
                    if name not in status:
                        entry.sent.pop(name, None)
                backoff.reset()
            except ApiError as error:
                if error.code == 422:
                    # Said again with the next change: until then the API has an older status.
                    _logger.warning("status refused", pod=entry.pod.metadata.name, error=error.message)
                    return
                if error.code in (404, 409):
                    _logger.debug("the pod is another's or gone", pod=entry.pod.metadata.name, error=error.message)
                    entry.gone = True
                    return
                await self._again(entry, backoff, error.message)
            except (OSError, TimeoutError) as error:
                await self._again(entry, backoff, repr(error))

    async def _again(self, entry: _Entry, backoff: Backoff, error: str) -> None:
        entry.dirty = True
        seconds = backoff.next_seconds()
        _logger.info("status not sent; trying again", pod=entry.pod.metadata.name, error=error, in_seconds=seconds)
        await self._clock.sleep(seconds)

    async def _patch(self, entry: _Entry, patch: dict[str, Any]) -> int:
        """The pod's resourceVersion with it."""
        meta = entry.pod.metadata
        # The uid makes the patch a no-op for a namesake made since.
        body = {"metadata": {"uid": meta.uid}, "status": patch}
        stored = await self._client.patch(
            Pod, meta.name or "", meta.namespace or "", body, type="strategic", subresource="status"
        )
        return _version(stored)


def _version(pod: Pod) -> int:
    return int(pod.metadata.resource_version or 0)
