"""The scheduler's metrics; names, labels and buckets are upstream's."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from tiphys.base.metrics import REGISTRY
from tiphys.scheduler.queue import QueuedPod

_MOST_ATTEMPTS: Final = 16
"""More than these are one label value: attempts have no bound, labels must."""

ATTEMPTS = Counter(
    "scheduler_schedule_attempts",
    "Number of attempts to schedule pods, by the result.",
    ["result", "profile"],
    registry=REGISTRY,
)
ATTEMPT_SECONDS = Histogram(
    "scheduler_scheduling_attempt_duration_seconds",
    "Scheduling attempt latency in seconds (scheduling algorithm + binding).",
    ["result", "profile"],
    buckets=[0.001 * 2**power for power in range(15)],
    registry=REGISTRY,
)
DECISION_SECONDS = Histogram(
    "scheduler_scheduling_algorithm_duration_seconds",
    "Scheduling algorithm latency in seconds.",
    buckets=[0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.1, 1.0],
    registry=REGISTRY,
)
SLI_SECONDS = Histogram(
    "scheduler_pod_scheduling_sli_duration_seconds",
    "From when a pod enters the scheduling queue until it is bound; it may take several attempts.",
    ["attempts"],
    buckets=[0.01 * 2**power for power in range(20)],
    registry=REGISTRY,
)
POD_ATTEMPTS = Histogram(
    "scheduler_pod_scheduling_attempts",
    "Number of attempts to successfully schedule a pod.",
    buckets=[1, 2, 4, 8, 16],
    registry=REGISTRY,
)
INCOMING = Counter(
    "scheduler_queue_incoming_pods",
    "Number of pods added to scheduling queues by event and queue type.",
    ["queue", "event"],
    registry=REGISTRY,
)
PREEMPTION_ATTEMPTS = Counter(
    "scheduler_preemption_attempts", "Total preemption attempts in the cluster till now.", registry=REGISTRY
)
PREEMPTION_VICTIMS = Histogram(
    "scheduler_preemption_victims",
    "Number of selected preemption victims.",
    buckets=[1, 2, 4, 8, 16, 32, 64],
    registry=REGISTRY,
)
PENDING = Gauge(
    "scheduler_pending_pods",
    "Number of pending pods, by the queue they are in.",
    ["queue"],
    registry=REGISTRY,
)
CACHE_SIZE = Gauge(
    "scheduler_scheduler_cache_size",
    "Number of nodes, pods, and assumed (bound) pods in the scheduler cache.",
    ["type"],
    registry=REGISTRY,
)
_children: dict[tuple[str, str], Counter] = {}


def incoming(queue: str, event: str) -> None:
    """A pod came to that part of the queue because of that event."""
    child = _children.get((queue, event))
    if child is None:
        child = _children[queue, event] = INCOMING.labels(queue, event)
    child.inc()


def cache_size(**sizes: int) -> None:
    """How many of each type there are."""
    for kind, size in sizes.items():
        CACHE_SIZE.labels(kind).set(size)


def bound(queued: QueuedPod, profile: str, now: float) -> None:
    """A pod was bound."""
    attempts = str(queued.attempts) if queued.attempts < _MOST_ATTEMPTS else f"{_MOST_ATTEMPTS}+"
    SLI_SECONDS.labels(attempts).observe(max(0.0, now - (queued.first_at or now)))
    POD_ATTEMPTS.observe(queued.attempts)
    ATTEMPT_SECONDS.labels("scheduled", profile).observe(max(0.0, now - queued.popped_at))
