"""Looks at every HorizontalPodAutoscaler each 15 seconds: asks for metrics, decides, scales, reports."""

from __future__ import annotations

from typing import Final

import msgspec

from tiphys.api.errors import ApiError
from tiphys.api.selectors import parse_labels
from tiphys.api.types.autoscaling_v1 import Scale
from tiphys.api.types.autoscaling_v2 import HorizontalPodAutoscaler
from tiphys.api.types.core_v1 import Pod
from tiphys.base.logging import get_logger
from tiphys.client import ObjectKey, key_of
from tiphys.controllers.horizontalpodautoscaler.behavior import History
from tiphys.controllers.horizontalpodautoscaler.metrics import Metrics
from tiphys.controllers.horizontalpodautoscaler.reconcile import (
    Decision,
    Seen,
    decide,
    needs_metrics,
    rescale_failed,
    scale_unknown,
)
from tiphys.controllers.horizontalpodautoscaler.targets import Targets, UnknownKind
from tiphys.controllers.runtime import Environment, KeyedController

SYNC_PERIOD_SECONDS: Final = 15.0
_logger = get_logger(__name__)


class HorizontalPodAutoscalerController(KeyedController):
    """Use is not something one can watch: each autoscaler is looked at every SYNC_PERIOD_SECONDS. None, no work."""

    name = "horizontal-pod-autoscaler-controller"

    def __init__(self, environment: Environment) -> None:
        super().__init__()
        self._client = environment.client
        self._clock = environment.clock
        self._recorder = environment.recorder("horizontal-pod-autoscaler")
        self._autoscalers = environment.informer(HorizontalPodAutoscaler)
        self._pods = environment.informer(Pod)
        self._targets = Targets(environment.client)
        self._histories: dict[ObjectKey, History] = {}
        self._selectors: dict[ObjectKey, tuple[str, frozenset[str]]] = {}
        self._autoscalers.add_handler(on_add=self.enqueue, on_update=self._changed, on_delete=self._deleted)

    async def sync(self, key: ObjectKey) -> None:
        hpa = self._autoscalers.get(key.name, key.namespace)
        if hpa is None or hpa.metadata.deletion_timestamp is not None:
            return
        try:
            await self._reconcile(key, hpa)
        finally:
            self.queue.add_after(key, SYNC_PERIOD_SECONDS)

    async def _reconcile(self, key: ObjectKey, hpa: HorizontalPodAutoscaler) -> None:
        history = self._histories.get(key, History())
        reference = hpa.spec.scale_target_ref
        try:
            resource = await self._targets.find(reference.api_version or "v1", reference.kind)
            scale = await self._targets.scale(resource, key.namespace, reference.name)
        except (ApiError, OSError, TimeoutError, UnknownKind) as error:
            text = str(error) or type(error).__name__
            await self._report(hpa, scale_unknown(hpa, text, history, self._clock.now()))
            return
        decision = decide(hpa, await self._look(key, hpa, scale), history, self._clock.now())
        if decision.scale_to is not None:
            spec = msgspec.structs.replace(scale.spec, replicas=decision.scale_to)
            try:
                await self._targets.rescale(resource, msgspec.structs.replace(scale, spec=spec))
            except (ApiError, OSError, TimeoutError) as error:
                text = str(error) or type(error).__name__
                current = scale.spec.replicas or 0
                decision = rescale_failed(decision, hpa, current, text, history, self._clock.now())
        self._histories[key] = decision.history
        await self._report(hpa, decision)

    async def _look(self, key: ObjectKey, hpa: HorizontalPodAutoscaler, scale: Scale) -> Seen:
        selector = scale.status.selector or ""
        if not selector or not needs_metrics(hpa, scale.spec.replicas or 0):
            self._selectors.pop(key, None)
            return Seen(scale)
        parsed = parse_labels(selector)
        pods = self._pods.list(key.namespace, parsed)
        names = frozenset(pod.metadata.name or "" for pod in pods)
        self._selectors[key] = (selector, names)
        rivals = [
            f"{other.namespace}/{other.name}"
            for other, (_, counted) in self._selectors.items()
            if other.namespace == key.namespace and counted & names
        ]
        metrics = Metrics(self._client, self._targets, key.namespace, selector)
        # One after another: what one of them fetched may serve the next.
        measured = [await metrics.measure(spec) for spec in hpa.spec.metrics]
        return Seen(scale, pods, measured, rivals if len(rivals) > 1 else ())

    async def _report(self, hpa: HorizontalPodAutoscaler, decision: Decision) -> None:
        for type_, reason, message in decision.events:
            self._recorder.event(hpa, type_, reason, message)
        if decision.error:
            _logger.info("not scaled", autoscaler=str(key_of(hpa)), error=decision.error)
        if decision.status != hpa.status:
            await self._client.update_status(msgspec.structs.replace(hpa, status=decision.status))

    def _changed(self, old: HorizontalPodAutoscaler, new: HorizontalPodAutoscaler) -> None:
        if old.spec != new.spec:
            self.enqueue(new)

    def _deleted(self, hpa: HorizontalPodAutoscaler) -> None:
        key = key_of(hpa)
        self._histories.pop(key, None)
        self._selectors.pop(key, None)
