"""Deletes the Secrets of bootstrap tokens when they have expired."""

from __future__ import annotations

from tiphys.api.bootstrap_tokens import NAMESPACE
from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import Secret
from tiphys.client import ObjectKey
from tiphys.controllers.runtime import Environment, KeyedController
from tiphys.controllers.tokencleaner.reconcile import goes_at


class TokenCleaner(KeyedController):
    """Wakes when the next token expires, not in between."""

    name = "token-cleaner-controller"
    workers = 1

    def __init__(self, environment: Environment) -> None:
        super().__init__()
        self._client = environment.client
        self._clock = environment.clock
        self._secrets = environment.informers.of(Secret, namespace=NAMESPACE)
        self._secrets.add_handler(on_add=self._seen, on_update=lambda _, new: self._seen(new))

    async def sync(self, key: ObjectKey) -> None:
        secret = self._secrets.get(key.name, key.namespace)
        moment = goes_at(secret) if secret is not None else None
        if secret is None or moment is None:
            return
        remaining = moment - self._clock.now()
        if remaining > 0:
            self.queue.add_after(key, remaining)
            return
        meta = secret.metadata
        try:
            await self._client.delete(
                Secret, key.name, key.namespace, uid=meta.uid or "", resource_version=meta.resource_version or ""
            )
        except ApiError as error:
            if error.code != 404:
                raise

    def _seen(self, secret: Secret) -> None:
        if goes_at(secret) is not None:
            self.enqueue(secret)
