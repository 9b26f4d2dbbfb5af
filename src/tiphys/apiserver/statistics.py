"""What the server counts about its requests; exposed on /metrics under upstream's names."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from tiphys.apiserver.registry.registry import Registry
from tiphys.apiserver.routing import RequestInfo

# Upstream's boundaries, every second one left out: as fine as dashboards need, and half the lines.
_BUCKETS_SECONDS: Final = (0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0,
                           10.0, 15.0, 20.0, 30.0, 45.0, 60.0)  # fmt: skip
_BOUNDS: Final = (*(str(bound) for bound in _BUCKETS_SECONDS), "+Inf")
_WHAT: Final = ["verb", "group", "version", "resource", "subresource", "scope", "component"]
_VERBS: Final = {
    "get": "GET",
    "list": "LIST",
    "watch": "WATCH",
    "create": "POST",
    "update": "PUT",
    "patch": "PATCH",
    "delete": "DELETE",
    "deletecollection": "DELETECOLLECTION",
}
_Key = tuple[str, str, str, str, str, str, str]


class Timed:
    """The answers to one sort of request: how many by code, and how long they took."""

    __slots__ = ("buckets", "codes", "seconds")

    def __init__(self) -> None:
        self.codes: dict[int, int] = {}
        self.buckets = [0] * len(_BOUNDS)
        self.seconds = 0.0

    def observe(self, code: int, seconds: float) -> None:
        """Count one answered request."""
        codes = self.codes
        codes[code] = codes.get(code, 0) + 1
        self.buckets[bisect_left(_BUCKETS_SECONDS, seconds)] += 1
        self.seconds += seconds


class RequestStatistics:
    """A prometheus_client collector; a request costs it a look-up and a few additions.

    `inflight`: requests that wait for something now, the reading ones and the mutating ones.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._of: dict[tuple[str, str, str, str, str, bool, bool], Timed] = {}
        self.inflight = [0, 0]

    def timed(self, info: RequestInfo) -> Timed:
        """Where answers to requests like this one are counted."""
        # Names that clients made up would be series for ever.
        if info.target is None:
            key = (info.verb if info.verb in _VERBS else "other", "", "", "", "", False, False)
        else:
            key = (
                info.verb, info.group, info.version, info.resource, info.subresource[:32],
                info.name != "", info.namespace != "",
            )  # fmt: skip
        timed = self._of.get(key)
        if timed is None:
            timed = self._of[key] = Timed()
        return timed

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily("apiserver_request", "Requests answered.", labels=[*_WHAT, "code", "dry_run"])
        duration = HistogramMetricFamily(
            "apiserver_request_duration_seconds", "From a request to its answer, of watches to their beginning.",
            labels=_WHAT,
        )  # fmt: skip
        for (verb, group, version, resource, subresource, named, namespaced), timed in self._of.items():
            scope = "resource" if named else "namespace" if namespaced else "cluster" if resource else ""
            shown = _VERBS.get(verb, verb.upper() if resource else verb)
            labels = [shown, group, version, resource, subresource, scope, "apiserver"]
            for code, count in timed.codes.items():
                requests.add_metric([*labels, str(code), ""], count)
            total, buckets = 0, []
            for bound, count in zip(_BOUNDS, timed.buckets, strict=True):
                total += count
                buckets.append((bound, float(total)))
            duration.add_metric(labels, buckets, timed.seconds)
        yield requests
        yield duration
        yield self._inflight()
        yield from self._objects()

    def _inflight(self) -> Metric:
        inflight = GaugeMetricFamily("apiserver_current_inflight_requests", "Under way.", labels=["request_kind"])
        inflight.add_metric(["readOnly"], self.inflight[False])
        inflight.add_metric(["mutating"], self.inflight[True])
        return inflight

    def _objects(self) -> Iterator[Metric]:
        objects = GaugeMetricFamily("apiserver_storage_objects", "Objects kept.", labels=["resource"])
        longrunning = GaugeMetricFamily("apiserver_longrunning_requests", "Watches under way.", labels=_WHAT)
        for endpoint in self._registry.endpoints():
            resource = endpoint.resource
            objects.add_metric([resource.qualified], len(endpoint.cache.keys))
            labels = ["WATCH", resource.group, resource.version, resource.plural, "", "cluster", "apiserver"]
            longrunning.add_metric(labels, len(endpoint.cache.watchers))
        yield objects
        yield longrunning
