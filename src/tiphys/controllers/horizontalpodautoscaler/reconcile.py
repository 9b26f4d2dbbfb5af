"""What an autoscaler does now, from the scale of its target, its pods and their metrics. Pure.

scale unknown ──────────────► condition AbleToScale False
scaled to zero ─────────────► condition ScalingActive False
outside [min, max] ─────────► to the bound
metrics ──► a proposal each ─► the largest, stabilized and at the allowed rate
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from tiphys.api.quantity import Quantity
from tiphys.api.types.autoscaling_v1 import Scale
from tiphys.api.types.autoscaling_v2 import (
    ContainerResourceMetricStatus,
    ExternalMetricStatus,
    HorizontalPodAutoscaler,
    HorizontalPodAutoscalerCondition,
    HorizontalPodAutoscalerStatus,
    MetricSpec,
    MetricStatus,
    MetricTarget,
    MetricValueStatus,
    ObjectMetricStatus,
    PodsMetricStatus,
    ResourceMetricStatus,
)
from tiphys.api.types.core_v1 import Pod
from tiphys.base.clock import rfc3339
from tiphys.controllers import conditions
from tiphys.controllers.horizontalpodautoscaler import replicas as counts
from tiphys.controllers.horizontalpodautoscaler.behavior import Bounded, History, Moment, bounded
from tiphys.controllers.horizontalpodautoscaler.replicas import NoProposal, Proposal, Sample, Tolerance

ABLE: Final = "AbleToScale"
ACTIVE: Final = "ScalingActive"
LIMITED: Final = "ScalingLimited"
_FAILURES: Final = {
    "Resource": "FailedGetResourceMetric",
    "ContainerResource": "FailedGetContainerResourceMetric",
    "Pods": "FailedGetPodsMetric",
    "Object": "FailedGetObjectMetric",
    "External": "FailedGetExternalMetric",
}
_UNABLE: Final = "the HPA was unable to compute the replica count"
Event = tuple[str, str, str]
"""Type, reason, message."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What was found out about one metric of the spec: samples by pod, or one value; or why nothing was."""

    samples: dict[str, Sample] = field(default_factory=dict)
    value_milli: int = 0
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """What an autoscaler is decided on. `metrics` are those of the spec, in its order; `rivals` other autoscalers
    that count the same pods, by ``namespace/name``."""

    scale: Scale
    pods: Sequence[Pod] = ()
    metrics: Sequence[Measured] = ()
    rivals: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """`scale_to` None leaves the target alone. `status` holds if scaling succeeds. `error`: try again, for this."""

    status: HorizontalPodAutoscalerStatus
    history: History
    scale_to: int | None = None
    reason: str = ""
    events: tuple[Event, ...] = ()
    error: str = ""


class _Status:
    """The status while it is decided."""

    def __init__(self, hpa: HorizontalPodAutoscaler, now: float) -> None:
        self._moment = rfc3339(now)
        self.value = msgspec.structs.replace(hpa.status, observed_generation=hpa.metadata.generation)

    def say(self, kind: str, status: bool, reason: str, message: str) -> None:
        fresh = HorizontalPodAutoscalerCondition(
            type=kind,
            status="True" if status else "False",
            reason=reason,
            message=message,
            last_transition_time=self._moment,
        )
        kept = conditions.with_condition(self.value.conditions, fresh, compare_message=True)
        order = {ABLE: 0, ACTIVE: 1, LIMITED: 2}
        ordered = tuple(sorted(kept, key=lambda c: order.get(c.type, 3)))
        self.value = msgspec.structs.replace(self.value, conditions=ordered)

    def set(self, current: int, desired: int, metrics: tuple[MetricStatus, ...] | None, *, scaled: bool) -> None:
        self.value = msgspec.structs.replace(
            self.value,
            current_replicas=current or None,
            desired_replicas=desired,
            current_metrics=self.value.current_metrics if metrics is None else metrics,
            last_scale_time=self._moment if scaled else self.value.last_scale_time,
        )


def needs_metrics(hpa: HorizontalPodAutoscaler, replicas: int) -> bool:
    """Whether metrics decide at all."""
    minimum = _minimum(hpa)
    return not (replicas == 0 and minimum != 0) and minimum <= replicas <= hpa.spec.max_replicas


def scale_unknown(hpa: HorizontalPodAutoscaler, error: str, history: History, now: float) -> Decision:
    """The target cannot be asked how many replicas it has."""
    status = _Status(hpa, now)
    message = f"the HPA controller was unable to get the target's current scale: {error}"
    status.say(ABLE, False, "FailedGetScale", message)
    kind, name = hpa.spec.scale_target_ref.kind, hpa.spec.scale_target_ref.name
    failure = f"failed to query scale subresource for {kind}/{hpa.metadata.namespace}/{name}: {error}"
    return Decision(status.value, history, events=(("Warning", "FailedGetScale", error),), error=failure)


def decide(hpa: HorizontalPodAutoscaler, seen: Seen, history: History, now: float) -> Decision:
    """What to do now, and what to report of it."""
    status = _Status(hpa, now)
    status.say(ABLE, True, "SucceededGetScale", "the HPA controller was able to get the target's current scale")
    current, minimum, maximum = seen.scale.spec.replicas or 0, _minimum(hpa), hpa.spec.max_replicas
    if not history.recommendations:
        history = History((Moment(now, current),), history.ups, history.downs)
    if current == 0 and minimum != 0:
        text = "scaling is disabled since the replica count of the target is zero"
        status.say(ACTIVE, False, "ScalingDisabled", text)
        status.set(current, 0, None, scaled=False)
        return Decision(status.value, history)
    if current > maximum:
        reason = "Current number of replicas above Spec.MaxReplicas"
        return _rescaled(status, current, maximum, reason, None, history, now)
    if current < minimum:
        reason = "Current number of replicas below Spec.MinReplicas"
        return _rescaled(status, current, minimum, reason, None, history, now)
    refusal = _selector_refused(seen)
    if refusal is not None:
        status.say(ACTIVE, False, refusal[0], refusal[1])
        return _failed(status, current, (), refusal[1], history, (("Warning", refusal[0], refusal[1]),))
    return _by_metrics(hpa, seen, status, history, now)


def rescale_failed(
    decision: Decision, hpa: HorizontalPodAutoscaler, current: int, error: str, before: History, now: float
) -> Decision:
    """What is reported instead when the target could not be scaled."""
    status = _Status(hpa, now)
    for condition in decision.status.conditions:
        status.say(condition.type, condition.status == "True", condition.reason or "", condition.message or "")
    message = f"the HPA controller was unable to update the target scale: {error}"
    status.say(ABLE, False, "FailedUpdateScale", message)
    status.set(current, hpa.status.desired_replicas, None, scaled=False)
    event = ("Warning", "FailedRescale", f"New size: {decision.scale_to}; reason: {decision.reason}; error: {error}")
    kind, name = hpa.spec.scale_target_ref.kind, hpa.spec.scale_target_ref.name
    failure = f"failed to rescale {kind}/{hpa.metadata.namespace}/{name}: {error}"
    history = History(decision.history.recommendations, before.ups, before.downs)
    return Decision(status.value, history, events=(event,), error=failure)


def _by_metrics(hpa: HorizontalPodAutoscaler, seen: Seen, status: _Status, history: History, now: float) -> Decision:
    current = seen.scale.spec.replicas or 0
    wanted, metric, failures, statuses = 0, "", [], []
    events: list[Event] = []
    for spec, measured in zip(hpa.spec.metrics, seen.metrics, strict=True):
        try:
            proposal, name = _proposed(hpa, spec, measured, seen, now)
        except NoProposal as problem:
            reason = _FAILURES.get(spec.type, "InvalidMetricSourceType")
            failures.append((reason, str(problem)))
            events.append(("Warning", reason, str(problem)))
            continue
        statuses.append(_metric_status(spec, proposal))
        if not metric or proposal.replicas > wanted:
            wanted, metric = proposal.replicas, name
    total = len(hpa.spec.metrics)
    if failures and (len(failures) >= total or wanted < current):
        reason, problem_text = failures[0]
        status.say(ACTIVE, False, reason, f"{_UNABLE}: {problem_text}")
        error = f"invalid metrics ({len(failures)} invalid out of {total}), first error is: {problem_text}"
        return _failed(status, current, tuple(statuses), error, history, tuple(events))
    text = f"the HPA was able to successfully calculate a replica count from {metric}"
    status.say(ACTIVE, True, "ValidMetricFound", text)
    found = bounded(wanted, current, _minimum(hpa), hpa.spec.max_replicas, hpa.spec.behavior, history, now)
    _tell(status, found)
    reason = f"{metric} above target" if wanted > current else "All metrics below target"
    made = _rescaled(status, current, found.replicas, reason, tuple(statuses), found.history, now)
    return dataclasses.replace(made, events=(*events, *made.events))


def _tell(status: _Status, found: Bounded) -> None:
    status.say(ABLE, True, *found.able)
    status.say(LIMITED, found.limited, *found.limit)


def _rescaled(
    status: _Status,
    current: int,
    wanted: int,
    reason: str,
    metrics: tuple[MetricStatus, ...] | None,
    history: History,
    now: float,
) -> Decision:
    if wanted == current:
        status.set(current, current, metrics, scaled=False)
        return Decision(status.value, history)
    message = f"the HPA controller was able to update the target scale to {wanted}"
    status.say(ABLE, True, "SucceededRescale", message)
    status.set(current, wanted, metrics, scaled=True)
    event = ("Normal", "SuccessfulRescale", f"New size: {wanted}; reason: {reason}")
    return Decision(status.value, history.scaled(now, current, wanted), wanted, reason, (event,))


def _failed(
    status: _Status,
    current: int,
    metrics: tuple[MetricStatus, ...],
    error: str,
    history: History,
    events: tuple[Event, ...],
) -> Decision:
    status.set(current, status.value.desired_replicas, metrics or None, scaled=False)
    failure = ("Warning", "FailedComputeMetricsReplicas", error)
    return Decision(status.value, history, events=(*events, failure), error=error)


def _selector_refused(seen: Seen) -> Event | None:
    selector = seen.scale.status.selector
    if not selector:
        return ("InvalidSelector", "selector is required", "")
    if seen.rivals:
        names = " ".join(sorted(seen.rivals))
        return ("AmbiguousSelector", f"pods by selector {selector} are controlled by multiple HPAs: [{names}]", "")
    return None


def _minimum(hpa: HorizontalPodAutoscaler) -> int:
    return 1 if hpa.spec.min_replicas is None else hpa.spec.min_replicas


def _tolerance(hpa: HorizontalPodAutoscaler) -> Tolerance:
    behavior = hpa.spec.behavior
    down = behavior.scale_down if behavior is not None else None
    up = behavior.scale_up if behavior is not None else None
    return Tolerance(
        float(down.tolerance.exact) if down is not None and down.tolerance is not None else counts.DEFAULT_TOLERANCE,
        float(up.tolerance.exact) if up is not None and up.tolerance is not None else counts.DEFAULT_TOLERANCE,
    )


def _proposed(
    hpa: HorizontalPodAutoscaler, spec: MetricSpec, measured: Measured, seen: Seen, now: float
) -> tuple[Proposal, str]:
    """A metric's proposal and what it is called in reasons. Raises NoProposal."""
    if measured.failure:
        raise NoProposal(measured.failure)
    current, tolerance = seen.scale.spec.replicas or 0, _tolerance(hpa)
    if spec.type in ("Resource", "ContainerResource"):
        return _resource(spec, measured, seen, tolerance, now)
    if spec.type == "Pods" and spec.pods is not None:
        target = _milli(spec.pods.target.average_value)
        found = counts.by_average(current, target, "", seen.pods, measured.samples, tolerance, now)
        return found, f"pods metric {spec.pods.metric.name}"
    if spec.type == "Object" and spec.object is not None:
        kind = spec.object.described_object.kind
        return _single(spec.object.target, measured, seen, tolerance), f"{kind} metric {spec.object.metric.name}"
    if spec.type == "External" and spec.external is not None:
        metric = spec.external.metric
        name = f"external metric {metric.name}(&LabelSelector)" if metric.selector else f"external metric {metric.name}"
        return _single(spec.external.target, measured, seen, tolerance), name
    raise NoProposal(f'unknown metric source type "{spec.type}"')


def _resource(
    spec: MetricSpec, measured: Measured, seen: Seen, tolerance: Tolerance, now: float
) -> tuple[Proposal, str]:
    current = seen.scale.spec.replicas or 0
    source = spec.container_resource if spec.container_resource is not None else spec.resource
    if source is None:
        raise NoProposal("invalid resource metric source: neither an average utilization target nor an average value")
    container = spec.container_resource.container if spec.container_resource is not None else ""
    what = f"{source.name} container resource" if container else f"{source.name} resource"
    if source.target.average_value is not None:
        target = _milli(source.target.average_value)
        return counts.by_average(current, target, source.name, seen.pods, measured.samples, tolerance, now), what
    percent = source.target.average_utilization
    if not percent:
        raise NoProposal("invalid resource metric source: neither an average utilization target nor an average value")
    found = counts.by_utilization(current, percent, source.name, container, seen.pods, measured.samples, tolerance, now)
    return found, f"{what} utilization (percentage of request)"


def _single(target: MetricTarget, measured: Measured, seen: Seen, tolerance: Tolerance) -> Proposal:
    if target.type == "AverageValue" and target.average_value is not None:
        replicas = seen.scale.status.replicas
        return counts.by_value_per_pod(replicas, _milli(target.average_value), measured.value_milli, tolerance)
    current = seen.scale.spec.replicas or 0
    return counts.by_value(current, _milli(target.value), measured.value_milli, seen.pods, tolerance)


def _milli(quantity: Quantity | None) -> int:
    if quantity is None or quantity.milli <= 0:
        raise NoProposal("the metric has no target value")
    return quantity.milli


def _metric_status(spec: MetricSpec, found: Proposal) -> MetricStatus:
    average = Quantity.of_milli(found.average_milli)
    per_pod = MetricValueStatus(average_value=average, average_utilization=found.utilization)
    if spec.container_resource is not None:
        source = spec.container_resource
        status = ContainerResourceMetricStatus(container=source.container, name=source.name, current=per_pod)
        return MetricStatus(type=spec.type, container_resource=status)
    if spec.resource is not None:
        return MetricStatus(type=spec.type, resource=ResourceMetricStatus(name=spec.resource.name, current=per_pod))
    if spec.pods is not None:
        return MetricStatus(type=spec.type, pods=PodsMetricStatus(metric=spec.pods.metric, current=per_pod))
    target = spec.object.target if spec.object is not None else spec.external.target if spec.external else None
    whole = MetricValueStatus(value=average)
    current = per_pod if target is not None and target.type == "AverageValue" else whole
    if spec.object is not None:
        described = ObjectMetricStatus(
            metric=spec.object.metric, described_object=spec.object.described_object, current=current
        )
        return MetricStatus(type=spec.type, object=described)
    metric = spec.external.metric if spec.external is not None else None
    assert metric is not None
    return MetricStatus(type=spec.type, external=ExternalMetricStatus(metric=metric, current=current))
