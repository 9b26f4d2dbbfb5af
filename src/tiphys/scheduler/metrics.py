"""The scheduler's metrics; names are upstream's."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from tiphys.base.metrics import REGISTRY

ATTEMPTS = Counter(
    "scheduler_schedule_attempts",
    "Number of attempts to schedule pods, by the result.",
    ["result", "profile"],
    registry=REGISTRY,
)
DECISION_SECONDS = Histogram(
    "scheduler_scheduling_algorithm_duration_seconds",
    "Scheduling algorithm latency in seconds.",
    buckets=[0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.1, 1.0],
    registry=REGISTRY,
)
PREEMPTION_ATTEMPTS = Counter(
    "scheduler_preemption_attempts", "Total preemption attempts in the cluster till now.", registry=REGISTRY
)
PENDING = Gauge(
    "scheduler_pending_pods",
    "Number of pending pods, by the queue they are in.",
    ["queue"],
    registry=REGISTRY,
)
