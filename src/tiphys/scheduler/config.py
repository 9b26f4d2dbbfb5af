"""The scheduler's settings."""

from __future__ import annotations

from dataclasses import dataclass

from tiphys.scheduler.framework import Plugin
from tiphys.scheduler.plugins import DEFAULT_PLUGINS


@dataclass(frozen=True, slots=True)
class SchedulerConfig:
    """Defaults are upstream's."""

    scheduler_name: str = "default-scheduler"
    """Only pods whose spec.schedulerName is this are scheduled."""
    host: str = ""
    """Reported as the source host of events."""
    plugins: tuple[tuple[Plugin, int], ...] = DEFAULT_PLUGINS
    """Each with the weight of its score; in the order in which a rejection is attributed."""
    initial_backoff_seconds: float = 1.0
    maximum_backoff_seconds: float = 10.0
    unschedulable_seconds: float = 300.0
    """A pod that no event was seen to help is tried again after this long."""
    assumed_seconds: float = 900.0
    """A bound pod whose binding is never seen is forgotten after this long."""
    volume_bind_seconds: float = 600.0
    """How long a pod waits for its claims to be bound to volumes before it is scheduled anew."""
    concurrent_calls: int = 64
    """Binding and status requests in flight."""
    turn_seconds: float = 0.004
    """How long decisions may keep the event loop before others get a turn."""
