"""Replica counts from metrics, and how fast they are gone to. Cases follow upstream's description of the algorithm."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.api.quantity import Quantity
from tiphys.api.types.autoscaling_v1 import Scale, ScaleSpec, ScaleStatus
from tiphys.api.types.autoscaling_v2 import (
    CrossVersionObjectReference,
    ExternalMetricSource,
    HorizontalPodAutoscaler,
    HorizontalPodAutoscalerBehavior,
    HorizontalPodAutoscalerSpec,
    HPAScalingPolicy,
    HPAScalingRules,
    MetricIdentifier,
    MetricSpec,
    MetricTarget,
    ResourceMetricSource,
)
from tiphys.api.types.core_v1 import Pod, PodCondition
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.base.clock import rfc3339
from tiphys.controllers.horizontalpodautoscaler.behavior import History, Moment, bounded
from tiphys.controllers.horizontalpodautoscaler.metrics import _window
from tiphys.controllers.horizontalpodautoscaler.reconcile import (
    Decision,
    Measured,
    Seen,
    decide,
    needs_metrics,
    rescale_failed,
    scale_unknown,
)
from tiphys.controllers.horizontalpodautoscaler.replicas import (
    NoProposal,
    Sample,
    Tolerance,
    by_average,
    by_utilization,
    by_value,
    by_value_per_pod,
)
from tiphys.testing import builders

NOW = 1_700_000_000.0
OLD = NOW - 3600


def pods(count: int, *, request: str = "1", unready: int = 0, pending: int = 0, started: float = OLD) -> list[Pod]:
    """Pods ``p0`` … that are ready since they started, but for the last ones."""
    made = []
    for index in range(count):
        pod = builders.pod(f"p{index}")
        [container] = pod.spec.containers
        container.resources.requests = {"cpu": Quantity(request)}
        pod.status.phase = "Pending" if index >= count - pending else "Running"
        pod.status.start_time = rfc3339(started)
        is_ready = "False" if index >= count - pending - unready else "True"
        pod.status.conditions = (PodCondition(type="Ready", status=is_ready, last_transition_time=rfc3339(started)),)
        made.append(pod)
    return made


def samples(*millis: int, window: float = 30.0) -> dict[str, Sample]:
    return {f"p{index}": Sample(milli, NOW, window) for index, milli in enumerate(millis)}


def utilization(current: int, target: int, found: list[Pod], *millis: int) -> int:
    return by_utilization(current, target, "cpu", "", found, samples(*millis), Tolerance(), NOW).replicas


@pytest.mark.parametrize(
    ("current", "target", "found", "millis", "expected"),
    [
        (3, 30, pods(3), (300, 500, 700), 5),  # 50% of requests
        (3, 50, pods(3), (500, 530, 490), 3),  # within a tenth of the target
        (5, 50, pods(5), (100, 100, 100, 100, 100), 1),
        (3, 30, pods(3, unready=1), (300, 500, 700), 3),  # one is not ready: idle, as far as scaling up goes
        (3, 30, pods(3, pending=1), (900, 900), 6),
        (3, 50, pods(4), (1000,), 3),  # one busy; if the others are idle the load is as wanted
        (4, 50, pods(4), (100, 100), 4),  # scaling down: those not heard of are taken for busy
        (2, 50, pods(2), (2000, 2000), 8),
    ],
)
def test_replicas_by_utilization(
    current: int, target: int, found: list[Pod], millis: tuple[int, ...], expected: int
) -> None:
    assert utilization(current, target, found, *millis) == expected


def test_the_first_minutes_of_a_pod_tell_nothing_of_cpu() -> None:
    fresh = pods(1, started=NOW - 10)
    with pytest.raises(NoProposal, match="pods might be unready"):
        utilization(1, 50, fresh, 900)
    assert utilization(1, 50, pods(1, started=NOW - 60), 1000) == 2, "measured since it was ready, over a whole window"
    memory = by_average(1, 100, "memory", fresh, samples(900), Tolerance(), NOW)
    assert memory.replicas == 9, "memory counts from the start"


def test_what_makes_a_metric_useless_is_said() -> None:
    with pytest.raises(NoProposal, match="no metrics returned"):
        utilization(1, 50, pods(1))
    without = pods(1)
    without[0].spec.containers[0].resources.requests = {}
    with pytest.raises(NoProposal, match=r"missing request for cpu in container .* of Pod p0"):
        utilization(1, 50, without, 5)
    with pytest.raises(NoProposal, match="no pods returned by selector"):
        by_average(1, 100, "", [], samples(5), Tolerance(), NOW)


def test_values_that_are_not_of_pods() -> None:
    assert by_value(3, 1000, 2000, pods(3), Tolerance()).replicas == 6
    assert by_value(0, 1000, 2500, [], Tolerance()).replicas == 3, "from zero up"
    assert by_value_per_pod(3, 1000, 3050, Tolerance()).replicas == 3
    assert by_value_per_pod(3, 1000, 5000, Tolerance()).replicas == 5


@given(
    st.integers(1, 50), st.integers(1, 200), st.lists(st.integers(0, 4000), min_size=1, max_size=50), st.integers(0, 10)
)
def test_proposals_go_the_way_the_load_does(current: int, target: int, millis: list[int], missing: int) -> None:
    found = pods(len(millis) + missing)
    proposal = by_utilization(len(found), target, "cpu", "", found, samples(*millis), Tolerance(), NOW)
    ratio = sum(millis) * 100 // (1000 * len(millis)) / target
    if ratio <= 1.0:
        assert proposal.replicas <= len(found)
    else:
        assert proposal.replicas >= len(found)
    if not missing and not 0.9 <= ratio <= 1.1:
        assert proposal.replicas == math.ceil(ratio * len(found))


def rules(*policies: tuple[str, int, int], window: int | None = None, select: str = "Max") -> HPAScalingRules:
    return HPAScalingRules(
        policies=tuple(HPAScalingPolicy(type=t, value=v, period_seconds=p) for t, v, p in policies),
        select_policy=select,
        stabilization_window_seconds=window,
    )


def test_without_rules_the_number_doubles_at_most() -> None:
    found = bounded(100, 3, 1, 100, None, History(), NOW)
    assert (found.replicas, found.limit[0], found.limited) == (6, "ScaleUpLimit", True)
    assert bounded(100, 1, 1, 100, None, History(), NOW).replicas == 4
    assert bounded(100, 60, 1, 100, None, History(), NOW).replicas == 100
    found = bounded(120, 60, 1, 100, None, History(), NOW)
    assert (found.replicas, found.limit[0]) == (100, "TooManyReplicas")


def test_going_down_waits_for_five_minutes_of_agreement() -> None:
    history = History((Moment(NOW - 290, 8),))
    found = bounded(2, 8, 1, 10, None, history, NOW)
    assert (found.replicas, found.able[0]) == (8, "ScaleDownStabilized")
    later = bounded(2, 8, 1, 10, None, found.history, NOW + 20)
    assert (later.replicas, later.able[0]) == (2, "ReadyForNewScale")


def test_rules_say_how_fast() -> None:
    behavior = HorizontalPodAutoscalerBehavior(
        scale_up=rules(("Pods", 2, 60), ("Percent", 10, 60), window=0),
        scale_down=rules(("Percent", 50, 60), ("Pods", 1, 60), window=0, select="Min"),
    )
    found = bounded(20, 10, 1, 100, behavior, History(), NOW)
    assert (found.replicas, found.limit[0]) == (12, "ScaleUpLimit")
    history = found.history.scaled(NOW, 10, 12)
    assert bounded(20, 12, 1, 100, behavior, history, NOW + 30).replicas == 12, "two a minute, and these were they"
    assert bounded(20, 12, 1, 100, behavior, history, NOW + 61).replicas == 14
    found = bounded(1, 10, 1, 100, behavior, History(), NOW)
    assert (found.replicas, found.limit[0]) == (9, "ScaleDownLimit")
    stopped = HorizontalPodAutoscalerBehavior(scale_down=rules(("Pods", 5, 60), window=0, select="Disabled"))
    assert bounded(1, 10, 1, 100, stopped, History(), NOW).replicas == 10


@given(
    st.integers(0, 60),
    st.integers(1, 50),
    st.integers(1, 20),
    st.integers(20, 50),
    st.lists(st.tuples(st.floats(0, 400), st.integers(1, 60)), max_size=8),
)
def test_the_bounds_hold_whatever_was_recommended(
    wanted: int, current: int, minimum: int, maximum: int, before: list[tuple[float, int]]
) -> None:
    history = History(tuple(Moment(NOW - age, replicas) for age, replicas in sorted(before, reverse=True)))
    current = min(max(current, minimum), maximum)
    for behavior in (None, HorizontalPodAutoscalerBehavior(scale_up=rules(("Pods", 4, 15), window=60))):
        found = bounded(wanted, current, minimum, maximum, behavior, history, NOW)
        assert minimum <= found.replicas <= maximum
        assert found.history.recommendations[-1] == Moment(NOW, wanted)
        recent = [m.replicas for m in history.recommendations if m.time > NOW - 300]
        assert found.replicas >= min(current, max([wanted, *recent])) or found.replicas == maximum


CPU = MetricSpec(
    type="Resource",
    resource=ResourceMetricSource(name="cpu", target=MetricTarget(type="Utilization", average_utilization=50)),
)
QUEUE = MetricSpec(
    type="External",
    external=ExternalMetricSource(
        metric=MetricIdentifier(name="queue"), target=MetricTarget(type="AverageValue", average_value=Quantity("10"))
    ),
)


def autoscaler(*metrics: MetricSpec, minimum: int = 1, maximum: int = 10) -> HorizontalPodAutoscaler:
    target = CrossVersionObjectReference(kind="Deployment", api_version="apps/v1", name="web")
    return HorizontalPodAutoscaler(
        metadata=ObjectMeta(name="web", namespace="x", generation=3),
        spec=HorizontalPodAutoscalerSpec(
            scale_target_ref=target, min_replicas=minimum, max_replicas=maximum, metrics=metrics or (CPU,)
        ),
    )


def scale(replicas: int, selector: str = "app=web") -> Scale:
    status = ScaleStatus(replicas=replicas, selector=selector or None)
    return Scale(metadata=ObjectMeta(name="web", namespace="x"), spec=ScaleSpec(replicas=replicas), status=status)


def said(decision: Decision) -> dict[str, tuple[str, str]]:
    return {c.type: (c.status, c.reason or "") for c in decision.status.conditions}


def test_a_busy_target_is_scaled_up() -> None:
    seen = Seen(scale(2), pods(2), [Measured(samples(900, 900))])
    decision = decide(autoscaler(), seen, History(), NOW)
    assert decision.scale_to == 4
    event = ("Normal", "SuccessfulRescale")
    text = "New size: 4; reason: cpu resource utilization (percentage of request) above target"
    assert decision.events == ((*event, text),)
    assert said(decision) == {
        "AbleToScale": ("True", "SucceededRescale"),
        "ScalingActive": ("True", "ValidMetricFound"),
        "ScalingLimited": ("False", "DesiredWithinRange"),
    }
    status = decision.status
    assert (status.current_replicas, status.desired_replicas, status.observed_generation) == (2, 4, 3)
    assert status.last_scale_time == rfc3339(NOW)
    [metric] = status.current_metrics
    assert metric.resource is not None and metric.resource.current.average_utilization == 90
    assert metric.resource.current.average_value == Quantity("900m")
    again = decide(msgspec.structs.replace(autoscaler(), status=status), seen, decision.history, NOW)
    assert again.history.ups == (Moment(NOW, 2), Moment(NOW, 2))


def test_the_most_demanding_metric_wins_and_one_that_fails_forbids_to_scale_down() -> None:
    both = autoscaler(CPU, QUEUE)
    seen = Seen(scale(2), pods(2), [Measured(samples(100, 100)), Measured(value_milli=60_000)])
    decision = decide(both, seen, History(), NOW)
    assert decision.scale_to == 4 and "external metric queue" in decision.reason
    seen = Seen(scale(2), pods(2), [Measured(samples(100, 100)), Measured(failure="it broke")])
    decision = decide(both, seen, History(), NOW)
    assert decision.scale_to is None
    assert said(decision)["ScalingActive"] == ("False", "FailedGetExternalMetric")
    assert decision.error == "invalid metrics (1 invalid out of 2), first error is: it broke"
    assert [event[1] for event in decision.events] == ["FailedGetExternalMetric", "FailedComputeMetricsReplicas"]


@pytest.mark.parametrize(
    ("replicas", "expected", "reason"),
    [
        (0, None, ""),
        (20, 10, "Current number of replicas above Spec.MaxReplicas"),
        (1, 2, "Current number of replicas below Spec.MinReplicas"),
    ],
)
def test_the_bounds_need_no_metrics(replicas: int, expected: int | None, reason: str) -> None:
    hpa = autoscaler(minimum=2)
    assert not needs_metrics(hpa, replicas)
    decision = decide(hpa, Seen(scale(replicas)), History(), NOW)
    assert (decision.scale_to, decision.reason) == (expected, reason)
    if expected is None:
        assert said(decision)["ScalingActive"] == ("False", "ScalingDisabled")


def test_pods_of_two_autoscalers_are_scaled_by_neither() -> None:
    seen = Seen(scale(2), pods(2), [Measured(samples(900, 900))], ("x/web", "x/other"))
    decision = decide(autoscaler(), seen, History(), NOW)
    assert decision.scale_to is None and said(decision)["ScalingActive"] == ("False", "AmbiguousSelector")
    decision = decide(autoscaler(), Seen(scale(2, selector="")), History(), NOW)
    assert said(decision)["ScalingActive"] == ("False", "InvalidSelector")


def test_what_fails_is_told() -> None:
    decision = scale_unknown(autoscaler(), 'deployments.apps "web" not found', History(), NOW)
    assert said(decision) == {"AbleToScale": ("False", "FailedGetScale")}
    assert decision.events == (("Warning", "FailedGetScale", 'deployments.apps "web" not found'),)
    made = decide(autoscaler(), Seen(scale(2), pods(2), [Measured(samples(900, 900))]), History(), NOW)
    failed = rescale_failed(made, autoscaler(), 2, "conflict", History(), NOW)
    assert said(failed)["AbleToScale"] == ("False", "FailedUpdateScale")
    assert failed.history.ups == () and failed.status.last_scale_time is None


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("1m30s", 90), ("1.5s", 1.5), ("250ms", 0.25), ("", 60)])
def test_windows_are_durations_as_go_writes_them(text: str, seconds: float) -> None:
    assert _window(text) == seconds
