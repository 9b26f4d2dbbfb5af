"""The scheduler's settings."""

from __future__ import annotations

from dataclasses import dataclass

from tiphys.scheduler.extenders.settings import Extender
from tiphys.scheduler.profiles import ProfileMaker, default_profile


@dataclass(frozen=True, slots=True)
class SchedulerConfig:
    """Defaults are upstream's."""

    host: str = ""
    """Reported as the source host of events."""
    profiles: tuple[ProfileMaker, ...] = (default_profile,)
    """Only pods of their scheduler names are scheduled."""
    extenders: tuple[Extender, ...] = ()
    initial_backoff_seconds: float = 1.0
    maximum_backoff_seconds: float = 10.0
    unschedulable_seconds: float = 300.0
    """A pod that no event was seen to help is tried again after this long."""
    assumed_seconds: float = 900.0
    """A bound pod whose binding is never seen is forgotten after this long."""
    concurrent_calls: int = 64
    """Binding and status requests in flight."""
    turn_seconds: float = 0.004
    """How long decisions may keep the event loop before others get a turn."""
