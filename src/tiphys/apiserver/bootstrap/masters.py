"""The apiservers of one store: each shows by a Lease that it lives; the Service `kubernetes` has those that do.

    renew own Lease ──► whose Lease changed in the last EXPIRY_SECONDS? ──► Endpoints, EndpointSlice
        ▲                                                                        │
        └──────────────────────── PERIOD_SECONDS ◄───────────────────────────────┘

A Lease counts from when this process saw it change, so that clocks need not agree.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from msgspec.structs import replace

from tiphys.api import errors
from tiphys.api.types.coordination_v1 import Lease, LeaseSpec
from tiphys.api.types.core_v1 import Endpoints
from tiphys.api.types.discovery_v1 import EndpointSlice
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.apiserver.bootstrap.objects import endpoint_slice, endpoints
from tiphys.base.clock import Clock, rfc3339_micro
from tiphys.base.logging import get_logger
from tiphys.client import Client

PERIOD_SECONDS: Final = 5.0
EXPIRY_SECONDS: Final = 15.0
"""How long an apiserver that does not renew its Lease stays an endpoint."""
_NAMESPACE: Final = "kube-system"
_IDENTITY: Final = "apiserver.kubernetes.io/identity"
_SELECTOR: Final = f"{_IDENTITY}=kube-apiserver"
_ADDRESS: Final = "tiphys.io/advertise-address"
_logger = get_logger(__name__)


class Masters:
    """Runs beside an apiserver whose store others share. `client` is the server's own, `address` what it advertises."""

    def __init__(self, client: Client, address: str, port: int, clock: Clock) -> None:
        self._client = client
        self._address = address
        self._port = port
        self._clock = clock
        self._name = "apiserver-" + hashlib.sha256(address.encode()).hexdigest()[:26]
        # Lease to (its renewal as last seen, when that was seen first).
        self._seen: dict[str, tuple[str, float]] = {}

    async def run(self) -> None:
        """Until cancelled. What fails is tried again."""
        while True:
            try:
                await self._round()
            except (errors.ApiError, OSError, TimeoutError) as error:
                _logger.warning("the apiservers' endpoints could not be kept", error=str(error))
            await self._clock.sleep(PERIOD_SECONDS)

    async def leave(self) -> None:
        """Say at a clean end that this server is gone, instead of letting others wait for it."""
        try:
            await self._client.delete(Lease, self._name, _NAMESPACE)
            alive = tuple(address for address in await self._alive() if address != self._address)
            if alive:
                await self._publish(alive)
        except (errors.ApiError, OSError, TimeoutError) as error:
            _logger.warning("the own endpoint could not be removed", error=str(error))

    async def _round(self) -> None:
        await self._renew()
        await self._publish(await self._alive())

    async def _renew(self) -> None:
        now = rfc3339_micro(self._clock.now())
        try:
            lease = await self._client.get(Lease, self._name, _NAMESPACE)
        except errors.ApiError as error:
            if error.code != 404:
                raise
            await self._client.create(self._lease(now))
            return
        await self._client.update(replace(lease, spec=replace(lease.spec, renew_time=now)))

    def _lease(self, now: str) -> Lease:
        return Lease(
            metadata=ObjectMeta(
                name=self._name,
                namespace=_NAMESPACE,
                labels={_IDENTITY: "kube-apiserver", "kubernetes.io/hostname": self._address},
                annotations={_ADDRESS: self._address},
            ),
            spec=LeaseSpec(
                holder_identity=self._name,
                lease_duration_seconds=int(EXPIRY_SECONDS),
                acquire_time=now,
                renew_time=now,
            ),
        )

    async def _alive(self) -> tuple[str, ...]:
        """The addresses of living apiservers, sorted; Leases of the dead are removed."""
        now = self._clock.monotonic()
        alive: set[str] = set()
        seen: dict[str, tuple[str, float]] = {}
        for lease in (await self._client.list(Lease, _NAMESPACE, label_selector=_SELECTOR)).items:
            name, renewed = lease.metadata.name or "", lease.spec.renew_time or ""
            known = self._seen.get(name)
            seen[name] = known if known is not None and known[0] == renewed else (renewed, now)
            if now - seen[name][1] < EXPIRY_SECONDS:
                alive.add(lease.metadata.annotations.get(_ADDRESS, ""))
            else:
                await self._forget(lease)
        self._seen = seen
        return tuple(sorted(alive - {""}))

    async def _forget(self, lease: Lease) -> None:
        _logger.warning("an apiserver does not renew its lease", lease=lease.metadata.name)
        try:
            await self._client.delete(
                Lease, lease.metadata.name or "", _NAMESPACE, resource_version=lease.metadata.resource_version or ""
            )
        except errors.ApiError as error:
            # It is back, or another apiserver was quicker.
            if error.code not in (404, 409):
                raise

    async def _publish(self, addresses: tuple[str, ...]) -> None:
        await self._keep(endpoints(addresses, self._port), lambda one: one.subsets)
        await self._keep(
            endpoint_slice(addresses, self._port), lambda one: ([e.addresses for e in one.endpoints], one.ports)
        )

    async def _keep(self, wanted: Endpoints | EndpointSlice, shown: Any) -> None:
        kind: type[Any] = type(wanted)
        meta = wanted.metadata
        try:
            found = await self._client.get(kind, meta.name or "", meta.namespace or "")
        except errors.ApiError as error:
            if error.code != 404:
                raise
            await self._client.create(wanted)
            return
        if shown(found) != shown(wanted):
            versioned = replace(meta, resource_version=found.metadata.resource_version)
            await self._client.update(replace(wanted, metadata=versioned))
