"""Keeps the ConfigMap ``kube-root-ca.crt`` in every namespace."""

from __future__ import annotations

from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import ConfigMap, Namespace
from tiphys.client import ObjectKey
from tiphys.controllers.namespaced import is_terminating_namespace
from tiphys.controllers.rootca.reconcile import NAME, decide
from tiphys.controllers.runtime import Environment, KeyedController


class RootCAPublisher(KeyedController):
    """Does nothing without a CA to publish."""

    name = "root-ca-certificate-publisher-controller"

    def __init__(self, environment: Environment) -> None:
        super().__init__()
        self._client = environment.client
        self._root_ca = environment.config.root_ca.decode()
        self._namespaces = environment.informer(Namespace)
        self._maps = environment.informer(ConfigMap)
        if not self._root_ca:
            return
        self._namespaces.add_handler(on_add=self.enqueue, on_update=self.enqueue_changed)
        self._maps.add_handler(on_update=lambda _, new: self._map_changed(new), on_delete=self._map_changed)

    async def sync(self, key: ObjectKey) -> None:
        namespace = self._namespaces.get(key.name)
        if namespace is None:
            return
        current = self._maps.get(NAME, key.name)
        wanted = decide(namespace, current, self._root_ca)
        if wanted is None:
            return
        try:
            await (self._client.create(wanted) if current is None else self._client.update(wanted))
        except ApiError as error:
            if error.reason != "AlreadyExists" and not is_terminating_namespace(error):
                raise

    def _map_changed(self, found: ConfigMap) -> None:
        if found.metadata.name == NAME:
            self.queue.add(ObjectKey("", found.metadata.namespace or ""))
