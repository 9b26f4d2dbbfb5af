"""What one profile's pods are scheduled with."""

from __future__ import annotations

from tiphys.client import EventRecorder
from tiphys.scheduler.algorithm import Algorithm
from tiphys.scheduler.effects import Effects
from tiphys.scheduler.explaining.carried import CarriedReasons
from tiphys.scheduler.framework import Point
from tiphys.scheduler.gangs.cycle import PLUGIN
from tiphys.scheduler.profiles import Profile


class Scheduling:
    """The profile, what decides for it, and what carries decisions out in its name."""

    def __init__(self, profile: Profile, algorithm: Algorithm, effects: Effects, recorder: EventRecorder) -> None:
        self.name = profile.scheduler_name
        self.profile = profile
        self.algorithm = algorithm
        self.effects = effects
        self.recorder = recorder
        self.knows_gangs = any(plugin.name == PLUGIN for plugin in profile.at(Point.PRE_ENQUEUE))
        self.reasons = CarriedReasons(algorithm.cluster, profile.filters)
