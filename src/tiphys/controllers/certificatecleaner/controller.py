"""Deletes certificate signing requests when their time is over."""

from __future__ import annotations

from tiphys.api.errors import ApiError
from tiphys.api.types.certificates_v1 import CertificateSigningRequest
from tiphys.client import ObjectKey
from tiphys.controllers.certificatecleaner.reconcile import goes_at
from tiphys.controllers.runtime import Environment, KeyedController


class CertificateCleanerController(KeyedController):
    """Wakes when the next request's time is over, not in between."""

    name = "certificatesigningrequest-cleaner-controller"
    workers = 1

    def __init__(self, environment: Environment) -> None:
        super().__init__()
        self._client = environment.client
        self._clock = environment.clock
        self._requests = environment.informer(CertificateSigningRequest)
        self.watch(self._requests)

    async def sync(self, key: ObjectKey) -> None:
        request = self._requests.get(key.name)
        if request is None:
            return
        remaining = goes_at(request) - self._clock.now()
        if remaining > 0:
            self.queue.add_after(key, remaining)
            return
        meta = request.metadata
        try:
            await self._client.delete(
                CertificateSigningRequest,
                key.name,
                uid=meta.uid or "",
                resource_version=meta.resource_version or "",
            )
        except ApiError as error:
            if error.code != 404:
                raise
