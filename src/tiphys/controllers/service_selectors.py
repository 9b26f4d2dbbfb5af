"""Which Services select a pod, without asking every Service each time."""

from __future__ import annotations

from tiphys.api.selectors import from_labels
from tiphys.api.types.core_v1 import Pod, Service
from tiphys.client import Informer, Lister, ObjectKey, key_of
from tiphys.controllers.endpoints_of import has_selector

BY_SELECTOR_TERM = "selector-term"


def selector_term(service: Service) -> tuple[str, ...]:
    """An indexer: one term of the Service's selector, which every pod that it selects carries."""
    if not has_selector(service):
        return ()
    key, value = min(service.spec.selector.items())
    return (f"{service.metadata.namespace}/{key}={value}",)


def index_services(services: Informer[Service]) -> None:
    """Prepare `services` for `selecting`."""
    services.add_index(BY_SELECTOR_TERM, selector_term)


def selecting(services: Lister[Service], pod: Pod) -> list[ObjectKey]:
    """The keys of the Services that select `pod`."""
    labels = pod.metadata.labels
    return [
        key_of(service)
        for key, value in labels.items()
        for service in services.by_index(BY_SELECTOR_TERM, f"{pod.metadata.namespace}/{key}={value}")
        if from_labels(service.spec.selector).matches(labels)
    ]
