"""Creates the default service account of each namespace, again if it is deleted."""

from __future__ import annotations

from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import Namespace, ServiceAccount
from tiphys.client import ObjectKey
from tiphys.controllers.namespaced import is_terminating_namespace
from tiphys.controllers.runtime import Environment, KeyedController
from tiphys.controllers.serviceaccount.reconcile import NAMES, missing


class ServiceAccountController(KeyedController):
    name = "serviceaccount-controller"

    def __init__(self, environment: Environment) -> None:
        super().__init__()
        self._client = environment.client
        self._namespaces = environment.informer(Namespace)
        self._accounts = environment.informer(ServiceAccount)
        self._namespaces.add_handler(on_add=self.enqueue, on_update=self.enqueue_changed)
        self._accounts.add_handler(on_delete=self._account_deleted)

    async def sync(self, key: ObjectKey) -> None:
        namespace = self._namespaces.get(key.name)
        if namespace is None:
            return
        present = [name for name in NAMES if self._accounts.get(name, key.name) is not None]
        for account in missing(namespace, present):
            try:
                await self._client.create(account)
            except ApiError as error:
                if error.reason != "AlreadyExists" and not is_terminating_namespace(error):
                    raise

    def _account_deleted(self, account: ServiceAccount) -> None:
        if account.metadata.name in NAMES:
            self.queue.add(ObjectKey("", account.metadata.namespace or ""))
