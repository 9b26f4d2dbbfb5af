"""Leader election by Lease: of several instances of a component, one works.

candidate ──(lease free or expired, update wins)──► leader ──(renewed)──► leader
    ▲                                                 │
    └──────────(not renewed within the deadline)──────┘  the work is cancelled before another may start
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from tiphys.api.errors import ApiError
from tiphys.api.types.coordination_v1 import Lease, LeaseSpec
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.base.chance import CHANCE
from tiphys.base.clock import Clock, SystemClock, rfc3339_micro
from tiphys.base.logging import get_logger
from tiphys.client.client import Client

JITTER: Final = 0.2
_logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ElectionConfig:
    """Upstream's defaults: `lease_duration_seconds` > `renew_deadline_seconds` > `retry_period_seconds`."""

    name: str
    identity: str
    namespace: str = "kube-system"
    lease_duration_seconds: float = 15.0
    renew_deadline_seconds: float = 10.0
    retry_period_seconds: float = 2.0


class LeadershipLost(Exception):
    """The lease could not be renewed in time; the work was cancelled."""


class LeaderElector:
    """``await elector.run(work)``: waits for the lease, runs ``work()`` while it holds, raises LeadershipLost if not.

    Another's lease counts from when this process saw it renewed, so that clocks need not agree. The lease is given
    back when `run` is cancelled or the work returns.
    """

    def __init__(
        self,
        client: Client,
        config: ElectionConfig,
        *,
        clock: Clock | None = None,
        draw: Callable[[], float] = CHANCE.random,
    ) -> None:
        self.is_leader = False
        self._client = client
        self._config = config
        self._clock = clock or SystemClock()
        self._draw = draw
        self._observed: Lease | None = None
        self._observed_at = 0.0

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        await self._acquire()
        self.is_leader = True
        _logger.info("became leader", lease=self._config.name, identity=self._config.identity)
        working = asyncio.ensure_future(work())
        renewing = asyncio.ensure_future(self._renew())
        try:
            await asyncio.wait((working, renewing), return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
                return
            renewing.result()
        finally:
            self.is_leader = False
            for task in (working, renewing):
                task.cancel()
            await asyncio.gather(working, renewing, return_exceptions=True)
            await self._release()

    async def _acquire(self) -> None:
        while not await self._try():
            await self._clock.sleep(self._config.retry_period_seconds * (1 + JITTER * self._draw()))

    async def _renew(self) -> None:
        last = self._clock.monotonic()
        while True:
            await self._clock.sleep(self._config.retry_period_seconds)
            # The lease counts from before the request was sent, and no request may outlast the deadline: another may
            # begin soon after it.
            sent = self._clock.monotonic()
            left_seconds = last + self._config.renew_deadline_seconds - sent
            if left_seconds > 0 and await self._try(left_seconds):
                last = sent
            elif self._clock.monotonic() - last >= self._config.renew_deadline_seconds or self._held_by_another():
                raise LeadershipLost(f"lease {self._config.namespace}/{self._config.name} was not renewed in time")

    async def _try(self, seconds: float | None = None) -> bool:
        try:
            async with asyncio.timeout(seconds or self._config.renew_deadline_seconds):
                return await self._try_once()
        except (ApiError, OSError, TimeoutError) as error:
            _logger.debug("lease not taken", lease=self._config.name, error=str(error))
            return False

    async def _try_once(self) -> bool:
        config = self._config
        now = rfc3339_micro(self._clock.now())
        try:
            lease = await self._client.get(Lease, config.name, config.namespace)
        except ApiError as error:
            if error.code != 404:
                raise
            meta = ObjectMeta(name=config.name, namespace=config.namespace)
            self._saw(await self._client.create(Lease(metadata=meta, spec=self._spec(now, now, 0))))
            return True
        if self._observed is None or self._observed.spec != lease.spec:
            self._saw(lease)
        spec = lease.spec
        if spec.holder_identity and spec.holder_identity != config.identity and not self._expired():
            return False
        if spec.holder_identity == config.identity:
            taken = self._spec(spec.acquire_time or now, now, spec.lease_transitions or 0)
        else:
            taken = self._spec(now, now, (spec.lease_transitions or 0) + 1)
        self._saw(await self._client.update(msgspec.structs.replace(lease, spec=taken)))
        return True

    def _spec(self, acquired: str, renewed: str, transitions: int) -> LeaseSpec:
        return LeaseSpec(
            holder_identity=self._config.identity,
            lease_duration_seconds=int(self._config.lease_duration_seconds),
            acquire_time=acquired,
            renew_time=renewed,
            lease_transitions=transitions,
        )

    def _saw(self, lease: Lease) -> None:
        self._observed, self._observed_at = lease, self._clock.monotonic()

    def _expired(self) -> bool:
        if self._observed is None:
            return False
        duration = self._observed.spec.lease_duration_seconds or self._config.lease_duration_seconds
        return self._clock.monotonic() - self._observed_at > duration

    def _held_by_another(self) -> bool:
        holder = self._observed.spec.holder_identity if self._observed else None
        return bool(holder) and holder != self._config.identity and not self._expired()

    async def _release(self) -> None:
        lease = self._observed
        if lease is None or lease.spec.holder_identity != self._config.identity:
            return
        freed = msgspec.structs.replace(lease.spec, holder_identity="", lease_duration_seconds=1)
        try:
            async with asyncio.timeout(self._config.retry_period_seconds):
                await self._client.update(msgspec.structs.replace(lease, spec=freed))
        except (ApiError, OSError, TimeoutError) as error:
            _logger.debug("lease not given back", lease=self._config.name, error=str(error))
