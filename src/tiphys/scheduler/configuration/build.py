"""The profiles that a configuration means.

Upstream's rules. First the profile's own choice is laid over the defaults, which are all at multiPoint: what it
disables goes, what it enables again changes its weight in place, what it adds comes after. Then, at each point: those
chosen there that are also at multiPoint come first, then the rest of multiPoint, then the rest of those chosen there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tiphys.scheduler.config import SchedulerConfig
from tiphys.scheduler.configuration.reading import Args, ConfigurationError, Read
from tiphys.scheduler.configuration.types import KubeSchedulerProfile, PluginRef, PluginSet
from tiphys.scheduler.configuration.validation import POINTS
from tiphys.scheduler.framework import Plugin, Point, has_point
from tiphys.scheduler.plugins import DEFAULT_PLUGINS
from tiphys.scheduler.profiles import Profile, ProfileMaker


def scheduler_config(read: Read, registry: Mapping[str, type[Plugin]], *, host: str = "") -> SchedulerConfig:
    """The settings of a scheduler that does as the configuration says."""
    return SchedulerConfig(
        host=host,
        profiles=profile_makers(read, registry),
        extenders=read.configuration.extenders,
        initial_backoff_seconds=float(read.configuration.pod_initial_backoff_seconds),
        maximum_backoff_seconds=float(read.configuration.pod_max_backoff_seconds),
    )


def profile_makers(read: Read, registry: Mapping[str, type[Plugin]]) -> tuple[ProfileMaker, ...]:
    """How to make each profile, in order."""
    return tuple(
        _maker(profile, args, registry) for profile, args in zip(read.configuration.profiles, read.args, strict=True)
    )


def points_of(profile: KubeSchedulerProfile, registry: Mapping[str, type[Plugin]]) -> dict[Point, list[PluginRef]]:
    """The plugins of each extension point, in order."""
    everywhere = merged(profile.plugins.multi_point)
    return {point: _at(point, getattr(profile.plugins, field), everywhere, registry) for point, field in POINTS.items()}


def _maker(profile: KubeSchedulerProfile, args: Args, registry: Mapping[str, type[Plugin]]) -> ProfileMaker:
    chosen = points_of(profile, registry)
    if not chosen[Point.BIND]:
        name = profile.scheduler_name
        raise ConfigurationError([f'at least one bind plugin is needed for profile with scheduler name "{name}"'])
    weights = {ref.name: ref.weight or 1 for ref in chosen[Point.SCORE]}

    def make(handle: Any) -> Profile:
        made: dict[str, Plugin] = {}

        def plugin(name: str) -> Plugin:
            if name not in made:
                made[name] = registry[name](args.get(name), handle)
            return made[name]

        points = {point: [plugin(ref.name) for ref in refs] for point, refs in chosen.items()}
        return Profile(profile.scheduler_name, points, weights)

    return make


def merged(chosen: PluginSet) -> list[PluginRef]:
    """The defaults under the profile's multiPoint."""
    disabled = {ref.name for ref in chosen.disabled}
    enabled = {ref.name: ref for ref in chosen.enabled}
    found: list[PluginRef] = []
    for kind, weight in DEFAULT_PLUGINS:
        if kind.name in disabled or "*" in disabled:
            continue
        default = PluginRef(name=kind.name, weight=weight or None)
        found.append(enabled.pop(kind.name, default))
    return found + list(enabled.values())


def _at(
    point: Point, own: PluginSet, everywhere: Sequence[PluginRef], registry: Mapping[str, type[Plugin]]
) -> list[PluginRef]:
    disabled = {ref.name for ref in own.disabled}
    enabled = {ref.name: ref for ref in own.enabled}
    if "*" in disabled:
        return list(own.enabled)
    general = [ref for ref in everywhere if has_point(registry[ref.name], point) and ref.name not in disabled]
    names = {ref.name for ref in general}
    overriding = [ref for ref in own.enabled if ref.name in names]
    return [
        *overriding,
        *(ref for ref in general if ref.name not in enabled),
        *(ref for ref in own.enabled if ref.name not in names),
    ]
