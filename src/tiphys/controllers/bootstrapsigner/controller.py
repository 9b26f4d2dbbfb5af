"""Keeps the signatures of kube-public/cluster-info those of the bootstrap tokens there are."""

from __future__ import annotations

from tiphys.api.bootstrap_tokens import CLUSTER_INFO, CLUSTER_INFO_NAMESPACE, NAMESPACE, SECRET_TYPE, Token, of_secret
from tiphys.api.types.core_v1 import ConfigMap, Secret
from tiphys.base.clock import parse_rfc3339
from tiphys.client import ObjectKey
from tiphys.controllers.bootstrapsigner.reconcile import signed
from tiphys.controllers.runtime import Environment, KeyedController

_KEY = ObjectKey(CLUSTER_INFO_NAMESPACE, CLUSTER_INFO)


class BootstrapSigner(KeyedController):
    """One ConfigMap, so one worker and one key."""

    name = "bootstrap-signer-controller"
    workers = 1

    def __init__(self, environment: Environment) -> None:
        super().__init__()
        self._client = environment.client
        self._clock = environment.clock
        self._secrets = environment.informers.of(Secret, namespace=NAMESPACE)
        self._maps = environment.informers.of(ConfigMap, namespace=CLUSTER_INFO_NAMESPACE)
        self._secrets.add_handler(
            on_add=self._secret_seen, on_update=lambda _, new: self._secret_seen(new), on_delete=self._secret_seen
        )
        self._maps.add_handler(on_add=self._map_seen, on_update=lambda _, new: self._map_seen(new))

    async def sync(self, key: ObjectKey) -> None:
        cluster_info = self._maps.get(key.name, key.namespace)
        if cluster_info is None:
            return
        wanted = signed(cluster_info, self._tokens())
        if wanted is not None:
            await self._client.update(wanted)

    def _tokens(self) -> list[Token]:
        found = [of_secret(secret) for secret in self._secrets.list(NAMESPACE) if secret.type == SECRET_TYPE]
        now = self._clock.now()
        return [token for token in found if token is not None and _lasts(token, now)]

    def _secret_seen(self, secret: Secret) -> None:
        if secret.type == SECRET_TYPE and secret.metadata.namespace == NAMESPACE:
            self.queue.add(_KEY)

    def _map_seen(self, found: ConfigMap) -> None:
        if (found.metadata.namespace, found.metadata.name) == (CLUSTER_INFO_NAMESPACE, CLUSTER_INFO):
            self.queue.add(_KEY)


def _lasts(token: Token, now: float) -> bool:
    if not token.expiration:
        return True
    try:
        return parse_rfc3339(token.expiration) > now
    except ValueError:
        return False
