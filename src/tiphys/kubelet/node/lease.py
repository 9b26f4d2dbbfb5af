"""The node's heartbeat: a Lease renewed every few seconds."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from tiphys.api.errors import ApiError
from tiphys.api.types.coordination_v1 import Lease, LeaseSpec
from tiphys.api.types.core_v1 import Node
from tiphys.api.types.meta_v1 import ObjectMeta, OwnerReference
from tiphys.base.clock import Clock, rfc3339_micro
from tiphys.base.logging import get_logger
from tiphys.client.client import Client

NAMESPACE: Final = "kube-node-lease"
RETRY_SECONDS: Final = 1.0
_logger = get_logger(__name__)


class NodeLease:
    """Renews the lease of one node."""

    def __init__(
        self, client: Client, node: Node, clock: Clock, *, duration_seconds: int, renew_seconds: float
    ) -> None:
        self._client = client
        self._node = node
        self._clock = clock
        self._duration_seconds = duration_seconds
        self._renew_seconds = renew_seconds
        self._lease: Lease | None = None

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            pause = self._renew_seconds
            try:
                await self.renew()
            except ApiError as error:
                _logger.info("lease not renewed", error=error.message)
                pause = RETRY_SECONDS
            except (OSError, TimeoutError) as error:
                _logger.info("lease not renewed", error=repr(error))
                pause = RETRY_SECONDS
            await self._clock.sleep(pause)

    async def renew(self) -> None:
        """One renewal: an update of the lease as last seen. Raises ApiError and OSError."""
        name = self._node.metadata.name or ""
        stamp = rfc3339_micro(self._clock.now())
        if self._lease is None:
            self._lease = await self._find(name, stamp)
        spec = replace(self._lease.spec, holder_identity=name, renew_time=stamp)
        spec = replace(spec, lease_duration_seconds=self._duration_seconds)
        try:
            self._lease = await self._client.update(replace(self._lease, spec=spec))
        except ApiError as error:
            if error.code in (404, 409):
                self._lease = None
            raise

    async def _find(self, name: str, stamp: str) -> Lease:
        try:
            return await self._client.get(Lease, name, NAMESPACE)
        except ApiError as error:
            if error.code != 404:
                raise
        owner = OwnerReference(api_version="v1", kind="Node", name=name, uid=self._node.metadata.uid or "")
        fresh = Lease(
            metadata=ObjectMeta(name=name, namespace=NAMESPACE, owner_references=(owner,)),
            spec=LeaseSpec(holder_identity=name, lease_duration_seconds=self._duration_seconds, renew_time=stamp),
        )
        return await self._client.create(fresh)
