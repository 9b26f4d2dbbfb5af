"""Which pods a pod without constraints of its own is spread from: those of its services and its controller."""

from __future__ import annotations

from collections.abc import Mapping

from tiphys.api.selectors import Selector, from_labels
from tiphys.api.types.core_v1 import Pod
from tiphys.scheduler.terms import both

_CONTROLLERS = frozenset({"ReplicationController", "ReplicaSet", "StatefulSet"})


class SpreadOwners:
    """The selectors of Services by namespace and of controllers by uid. `epoch` moves when an answer may differ."""

    def __init__(self) -> None:
        self.epoch = 0
        self._services: dict[str, dict[str, Mapping[str, str]]] = {}
        self._controllers: dict[str, Selector] = {}

    def set_service(self, namespace: str, name: str, selector: Mapping[str, str] | None) -> None:
        """A Service with that selector; None or empty: it selects no pods, or is gone."""
        services = self._services.setdefault(namespace, {})
        if services.get(name) == (selector or None):
            return
        if selector:
            services[name] = selector
        else:
            del services[name]
        self.epoch += 1

    def set_controller(self, uid: str, selector: Selector | None) -> None:
        """A controller with that selector; None: it is gone. Its pods come after it, so no answer changes by it."""
        if selector is None:
            self._controllers.pop(uid, None)
        else:
            self._controllers[uid] = selector

    def selector_of(self, pod: Pod) -> Selector | None:
        """The pods to spread `pod` from; None if it belongs to nothing."""
        labels = pod.metadata.labels
        merged: dict[str, str] = {}
        for selector in self._services.get(pod.metadata.namespace or "", {}).values():
            if selector.items() <= labels.items():
                merged.update(selector)
        found = from_labels(merged)
        for owner in pod.metadata.owner_references:
            if owner.controller and owner.kind in _CONTROLLERS and owner.uid in self._controllers:
                found = both(found, self._controllers[owner.uid])
        return None if found.is_everything or found.is_nothing else found
