"""Keeps the Endpoints object of each Service with a selector."""

from __future__ import annotations

from tiphys.api.errors import ApiError
from tiphys.api.selectors import from_labels
from tiphys.api.types.core_v1 import Endpoints, Pod, Service
from tiphys.base.clock import rfc3339
from tiphys.client import WARNING, ObjectKey
from tiphys.controllers import endpoints_of
from tiphys.controllers.endpoints.reconcile import MANAGED_BY, MANAGER, decide
from tiphys.controllers.pods import LABEL_INDEX, label_index, with_any_label
from tiphys.controllers.runtime import Environment, KeyedController
from tiphys.controllers.service_selectors import index_services, selecting


class EndpointsController(KeyedController):
    name = "endpoints-controller"

    def __init__(self, environment: Environment) -> None:
        super().__init__()
        self._client = environment.client
        self._clock = environment.clock
        self._recorder = environment.recorder("endpoint-controller")
        self._services = environment.informer(Service)
        self._pods = environment.informer(Pod)
        self._endpoints = environment.informer(Endpoints)
        self._triggers: dict[ObjectKey, float] = {}
        index_services(self._services)
        self._pods.add_index(LABEL_INDEX, label_index)
        self.watch(self._services)
        self._pods.add_handler(on_add=self._pod_changed, on_update=self._pod_updated, on_delete=self._pod_changed)
        self._endpoints.add_handler(on_add=self._known, on_delete=self.enqueue)

    async def sync(self, key: ObjectKey) -> None:
        service = self._services.get(key.name, key.namespace)
        current = self._endpoints.get(key.name, key.namespace)
        if service is None:
            self._triggers.pop(key, None)
            if current is not None and current.metadata.labels.get(MANAGED_BY) == MANAGER:
                await self._delete(current)
            return
        if not endpoints_of.has_selector(service):
            return
        selector = from_labels(service.spec.selector)
        pods = with_any_label(self._pods, key.namespace, service.spec.selector)
        backing = [pod for pod in pods if selector.matches(pod.metadata.labels)]
        moment = self._triggers.pop(key, None)
        wanted = decide(service, backing, current, trigger_time=rfc3339(moment) if moment else None)
        if wanted is None:
            return
        try:
            await (self._client.create(wanted) if current is None else self._client.update(wanted))
        except ApiError as error:
            if error.reason == "Forbidden" and current is None:
                # The namespace is going away.
                return
            if error.code != 409:
                text = f"Failed to {'create' if current is None else 'update'} endpoint {key}: {error}"
                reason = "FailedToCreateEndpoint" if current is None else "FailedToUpdateEndpoint"
                self._recorder.event(service, WARNING, reason, text)
            raise

    async def _delete(self, endpoints: Endpoints) -> None:
        meta = endpoints.metadata
        try:
            await self._client.delete(Endpoints, meta.name or "", meta.namespace or "", uid=meta.uid or "")
        except ApiError as error:
            if error.code not in (404, 409):
                raise

    def _known(self, endpoints: Endpoints) -> None:
        # At start, what no Service asks for any more is found this way.
        if self._services.synced and endpoints.metadata.labels.get(MANAGED_BY) == MANAGER:
            self.enqueue(endpoints)

    def _trigger(self, pod: Pod) -> None:
        for key in selecting(self._services, pod):
            self._triggers.setdefault(key, self._clock.now())
            self.queue.add(key)

    def _pod_changed(self, pod: Pod) -> None:
        self._trigger(pod)

    def _pod_updated(self, old: Pod, new: Pod) -> None:
        if not endpoints_of.endpoints_differ(old, new):
            return
        self._trigger(new)
        if old.metadata.labels != new.metadata.labels:
            self._trigger(old)
