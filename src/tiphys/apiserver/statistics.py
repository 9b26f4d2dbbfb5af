"""What the server counts about its requests; exposed on /metrics under upstream's names."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from tiphys.apiserver.registry.registry import Registry
from tiphys.apiserver.routing import RequestInfo


class RequestStatistics:
    """A prometheus_client collector that costs one dict update a request."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._requests: dict[tuple[str, str, str, str, str, int], int] = {}

    def observe(self, info: RequestInfo | None, code: int) -> None:
        """Count one answered request."""
        if info is None:
            return
        known = info.target is not None
        resource = info.resource if known else ""
        subresource = info.subresource if known and len(info.subresource) < 32 else ""
        key = (info.verb, info.group if known else "", info.version if known else "", resource, subresource, code)
        self._requests[key] = self._requests.get(key, 0) + 1

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "apiserver_request",
            "Requests answered.",
            labels=["verb", "group", "version", "resource", "subresource", "code"],
        )
        for key, count in self._requests.items():
            requests.add_metric([str(part) for part in key], count)
        yield requests
        objects = GaugeMetricFamily("apiserver_storage_objects", "Objects kept.", labels=["resource"])
        watchers = GaugeMetricFamily("apiserver_longrunning_requests", "Watches under way.", labels=["resource"])
        for endpoint in self._registry.endpoints():
            name = endpoint.resource.qualified
            objects.add_metric([name], len(endpoint.cache.keys))
            watchers.add_metric([name], len(endpoint.cache.watchers))
        yield objects
        yield watchers
