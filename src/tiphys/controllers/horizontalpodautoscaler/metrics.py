"""Metrics as autoscalers ask for them: metrics.k8s.io of pods, custom and external ones where their API is served."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote, urlencode

from tiphys.api import codec
from tiphys.api.errors import ApiError
from tiphys.api.quantity import Quantity
from tiphys.api.selectors import from_label_selector
from tiphys.api.types.autoscaling_v2 import CrossVersionObjectReference, MetricIdentifier, MetricSpec
from tiphys.base.clock import parse_rfc3339
from tiphys.client import Client
from tiphys.controllers.horizontalpodautoscaler.reconcile import Measured
from tiphys.controllers.horizontalpodautoscaler.replicas import Sample
from tiphys.controllers.horizontalpodautoscaler.targets import Targets

RESOURCE: Final = "/apis/metrics.k8s.io/v1beta1"
CUSTOM: Final = "/apis/custom.metrics.k8s.io/v1beta2"
EXTERNAL: Final = "/apis/external.metrics.k8s.io/v1beta1"
#: Metrics without a window of their own are of one minute, as upstream takes them.
_DEFAULT_WINDOW_SECONDS: Final = 60.0
_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
Document = dict[str, Any]


class Failure(Exception):
    """A metric could not be had; the text goes into the condition."""


class Metrics:
    """One look at the metrics of one autoscaler's pods; what several of its metrics need is asked for once."""

    def __init__(self, client: Client, targets: Targets, namespace: str, selector: str) -> None:
        self._client = client
        self._targets = targets
        self._namespace = namespace
        self._selector = selector
        self._pods: list[Document] | None = None

    async def measure(self, spec: MetricSpec) -> Measured:
        """What `spec` measures now."""
        try:
            return await self._measure(spec)
        except Failure as failure:
            return Measured(failure=str(failure))
        except (ApiError, OSError, TimeoutError) as error:
            return Measured(failure=f"{_unable(spec)}: {error or type(error).__name__}")

    async def _measure(self, spec: MetricSpec) -> Measured:
        if spec.container_resource is not None:
            return Measured(await self._resource(spec.container_resource.name, spec.container_resource.container))
        if spec.resource is not None:
            return Measured(await self._resource(spec.resource.name, ""))
        if spec.pods is not None:
            return Measured(await self._of_pods(spec.pods.metric))
        if spec.object is not None:
            return Measured(value_milli=await self._of_object(spec.object.described_object, spec.object.metric))
        if spec.external is not None:
            return Measured(value_milli=await self._external(spec.external.metric))
        raise Failure(f'unknown metric source type "{spec.type}"')

    async def _resource(self, resource: str, container: str) -> dict[str, Sample]:
        if self._pods is None:
            path = f"{RESOURCE}/namespaces/{self._namespace}/pods"
            try:
                self._pods = (await self._get(path, labelSelector=self._selector)).get("items") or []
            except ApiError as error:
                raise Failure(
                    f"failed to get {resource} utilization: unable to get metrics for resource {resource}: "
                    f"unable to fetch metrics from resource metrics API: {error.message}"
                ) from error
        found: dict[str, Sample] = {}
        for pod in self._pods:
            values = [
                usage[resource]
                for one in pod.get("containers") or ()
                if (not container or one.get("name") == container) and resource in (usage := one.get("usage") or {})
            ]
            if values:
                milli = sum(Quantity(value).milli for value in values)
                found[pod["metadata"]["name"]] = Sample(milli, _time(pod), _window(pod.get("window")))
        if not found:
            raise Failure(
                f"failed to get {resource} utilization: unable to get metrics for resource {resource}: "
                "no metrics returned from resource metrics API"
            )
        return found

    async def _of_pods(self, metric: MetricIdentifier) -> dict[str, Sample]:
        path = f"{CUSTOM}/namespaces/{self._namespace}/pods/*/{quote(metric.name, safe='')}"
        items = (await self._get(path, labelSelector=self._selector, **_metric_selector(metric))).get("items") or []
        found = {
            item["describedObject"]["name"]: Sample(
                Quantity(item["value"]).milli, _time(item), float(item.get("windowSeconds") or _DEFAULT_WINDOW_SECONDS)
            )
            for item in items
        }
        if not found:
            raise Failure(f"unable to get metric {metric.name}: no metrics returned from custom metrics API")
        return found

    async def _of_object(self, described: CrossVersionObjectReference, metric: MetricIdentifier) -> int:
        metric_path = f"{quote(described.name, safe='')}/{quote(metric.name, safe='')}"
        if described.kind == "Namespace":
            path = f"{CUSTOM}/namespaces/{self._namespace}/metrics/{quote(metric.name, safe='')}"
        else:
            target = await self._targets.find(described.api_version or "v1", described.kind)
            scope = f"/namespaces/{self._namespace}" if target.namespaced else ""
            path = f"{CUSTOM}{scope}/{target.qualified}/{metric_path}"
        items = (await self._get(path, **_metric_selector(metric))).get("items") or []
        if not items:
            raise Failure(f"unable to get metric {metric.name}: no metrics returned from custom metrics API")
        return Quantity(items[0]["value"]).milli

    async def _external(self, metric: MetricIdentifier) -> int:
        path = f"{EXTERNAL}/namespaces/{self._namespace}/{quote(metric.name, safe='')}"
        selector = str(from_label_selector(metric.selector)) if metric.selector is not None else ""
        items = (await self._get(path, labelSelector=selector)).get("items") or []
        if not items:
            raise Failure(f"unable to get external metric {metric.name}: no metrics returned from external metrics API")
        return sum(Quantity(item["value"]).milli for item in items)

    async def _get(self, path: str, **query: str) -> Document:
        given = {name: value for name, value in query.items() if value}
        answer = await self._client.raw("GET", f"{path}?{urlencode(given)}" if given else path)
        if answer.status >= 300:
            raise ApiError.from_body(answer.status, answer.body)
        document = codec.decode_any(answer.body)
        return document if isinstance(document, dict) else {}


def _metric_selector(metric: MetricIdentifier) -> dict[str, str]:
    if metric.selector is None:
        return {}
    return {"metricLabelSelector": str(from_label_selector(metric.selector))}


def _unable(spec: MetricSpec) -> str:
    metric = next((s.metric.name for s in (spec.pods, spec.object, spec.external) if s is not None), spec.type)
    api = "external" if spec.external is not None else "custom"
    return f"unable to get metric {metric}: unable to fetch metrics from {api} metrics API"


def _time(item: Document) -> float:
    stamp = item.get("timestamp")
    return parse_rfc3339(stamp) if isinstance(stamp, str) and stamp else 0.0


def _window(text: object) -> float:
    """A duration as Go writes it, in seconds."""
    rest, total = str(text or ""), 0.0
    while rest:
        end = next((i for i, c in enumerate(rest) if not (c.isdigit() or c == ".")), len(rest))
        unit_end = next((i for i in range(end, len(rest)) if rest[i].isdigit() or rest[i] == "."), len(rest))
        number, unit = rest[:end], rest[end:unit_end]
        if not number or unit not in _UNITS:
            return _DEFAULT_WINDOW_SECONDS
        total += float(number) * _UNITS[unit]
        rest = rest[unit_end:]
    return total or _DEFAULT_WINDOW_SECONDS
