"""How fast a wanted number of replicas may be gone to: stabilization windows, rates, and the bounds. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from tiphys.api.types.autoscaling_v2 import HorizontalPodAutoscalerBehavior, HPAScalingPolicy, HPAScalingRules

DOWNSCALE_STABILIZATION_SECONDS: Final = 300.0
#: Without rules of its own an autoscaler at most doubles, but may always go to four.
_FACTOR: Final = 2
_FREE_REPLICAS: Final = 4
_LONGEST_PERIOD_SECONDS: Final = 3600.0

_WITHIN: Final = ("DesiredWithinRange", "the desired count is within the acceptable range")
_TOO_MANY: Final = ("TooManyReplicas", "the desired replica count is more than the maximum replica count")
_TOO_FEW: Final = ("TooFewReplicas", "the desired replica count is less than the minimum replica count")
_UP_LIMIT: Final = ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate")
_DOWN_LIMIT: Final = ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate")
_READY: Final = ("ReadyForNewScale", "recommended size matches current size")
_UP_HELD: Final = (
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
)
_DOWN_HELD: Final = (
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
)


class Moment(NamedTuple):
    """A number at a time (monotonic seconds): what was recommended, or by how much was scaled."""

    time: float
    replicas: int


@dataclass(frozen=True, slots=True)
class History:
    """What is remembered of an autoscaler; lost with the process, as upstream's."""

    recommendations: tuple[Moment, ...] = ()
    ups: tuple[Moment, ...] = ()
    downs: tuple[Moment, ...] = ()

    def scaled(self, now: float, before: int, after: int) -> History:
        """After a change of the number of replicas."""
        ups = tuple(m for m in self.ups if m.time > now - _LONGEST_PERIOD_SECONDS)
        downs = tuple(m for m in self.downs if m.time > now - _LONGEST_PERIOD_SECONDS)
        if after > before:
            ups = (*ups, Moment(now, after - before))
        elif after < before:
            downs = (*downs, Moment(now, before - after))
        return History(self.recommendations, ups, downs)


class Bounded(NamedTuple):
    """`replicas` to go to, and why they are what they are: the conditions AbleToScale and ScalingLimited."""

    replicas: int
    able: tuple[str, str]
    limited: bool
    limit: tuple[str, str]
    history: History


def bounded(
    wanted: int,
    current: int,
    minimum: int,
    maximum: int,
    behavior: HorizontalPodAutoscalerBehavior | None,
    history: History,
    now: float,
) -> Bounded:
    """What of `wanted` may be done now. The history has the recommendation added."""
    up = behavior.scale_up if behavior is not None else None
    down = behavior.scale_down if behavior is not None else None
    up_window, down_window = _window(up, 0.0), _window(down, DOWNSCALE_STABILIZATION_SECONDS)
    horizon = max(up_window, down_window)
    known = tuple(m for m in history.recommendations if m.time > now - horizon) or ()
    kept = History((*known, Moment(now, wanted)), history.ups, history.downs)
    stable = _stabilized(wanted, current, known, up_window, down_window, now)
    able = _READY
    if stable != wanted:
        able = _UP_HELD if wanted >= current else _DOWN_HELD
    if behavior is None:
        replicas, limit = _without_rules(stable, current, minimum, maximum)
    else:
        replicas, limit = _with_rules(stable, current, minimum, maximum, up, down, history, now)
    return Bounded(replicas, able, replicas != stable, limit, kept)


def _window(rules: HPAScalingRules | None, default_seconds: float) -> float:
    if rules is None or rules.stabilization_window_seconds is None:
        return default_seconds
    return float(rules.stabilization_window_seconds)


def _stabilized(
    wanted: int, current: int, known: Iterable[Moment], up_window: float, down_window: float, now: float
) -> int:
    """Up only as far as everything recent agrees, down likewise."""
    lowest = min((m.replicas for m in known if m.time > now - up_window), default=wanted)
    highest = max((m.replicas for m in known if m.time > now - down_window), default=wanted)
    return min(max(current, min(lowest, wanted)), max(highest, wanted))


def _without_rules(wanted: int, current: int, minimum: int, maximum: int) -> tuple[int, tuple[str, str]]:
    limit = max(_FACTOR * current, _FREE_REPLICAS)
    highest, reason = (limit, _UP_LIMIT) if maximum > limit else (maximum, _TOO_MANY)
    if wanted < minimum:
        return minimum, _TOO_FEW
    if wanted > highest:
        return highest, reason
    return wanted, _WITHIN


def _with_rules(
    wanted: int,
    current: int,
    minimum: int,
    maximum: int,
    up: HPAScalingRules | None,
    down: HPAScalingRules | None,
    history: History,
    now: float,
) -> tuple[int, tuple[str, str]]:
    if wanted > current:
        limit = max(current, _up_limit(current, up, history, now))
        highest, reason = (limit, _UP_LIMIT) if maximum > limit else (maximum, _TOO_MANY)
        if wanted > highest:
            return highest, reason
    elif wanted < current:
        limit = min(current, _down_limit(current, down, history, now))
        lowest, reason = (limit, _DOWN_LIMIT) if minimum < limit else (minimum, _TOO_FEW)
        if wanted < lowest:
            return lowest, reason
    return wanted, _WITHIN


def _up_limit(current: int, rules: HPAScalingRules | None, history: History, now: float) -> int:
    if rules is None or not rules.policies:
        return max(_FACTOR * current, current + _FREE_REPLICAS)
    if rules.select_policy == "Disabled":
        return current
    proposals = []
    for policy in rules.policies:
        start = current - _moved(history.ups, policy, now) + _moved(history.downs, policy, now)
        raised = start + policy.value if policy.type == "Pods" else math.ceil(start * (1 + policy.value / 100))
        proposals.append(raised)
    return min(proposals) if rules.select_policy == "Min" else max(proposals)


def _down_limit(current: int, rules: HPAScalingRules | None, history: History, now: float) -> int:
    if rules is None or not rules.policies:
        return 0
    if rules.select_policy == "Disabled":
        return current
    proposals = []
    for policy in rules.policies:
        start = current - _moved(history.ups, policy, now) + _moved(history.downs, policy, now)
        lowered = start - policy.value if policy.type == "Pods" else int(start * (1 - policy.value / 100))
        proposals.append(lowered)
    return max(proposals) if rules.select_policy == "Min" else min(proposals)


def _moved(events: Iterable[Moment], policy: HPAScalingPolicy, now: float) -> int:
    """Replicas added, or removed, within the policy's period."""
    return sum(event.replicas for event in events if event.time > now - policy.period_seconds)
