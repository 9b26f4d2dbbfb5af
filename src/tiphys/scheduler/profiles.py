"""A profile: the plugins that decide for the pods of one scheduler name, and in which order they are asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tiphys.api.types.core_v1 import Pod
from tiphys.scheduler.framework import Plugin, Point, has_point
from tiphys.scheduler.plugins import DEFAULT_PLUGINS
from tiphys.scheduler.template import DEFAULT_SCHEDULER_NAME as DEFAULT_SCHEDULER_NAME


class Profile:
    """Pods whose spec.schedulerName is `scheduler_name` are scheduled by these plugins. Immutable.

    `plugins`: which are enabled at each point, in order; a point left out has none. A plugin that does nothing at a
    point is not asked there. `weights`: of scores, by plugin name; 1 if not given.
    """

    def __init__(
        self, scheduler_name: str, plugins: Mapping[Point, Sequence[Plugin]], weights: Mapping[str, int] | None = None
    ) -> None:
        self.scheduler_name = scheduler_name
        self._at = {
            point: tuple(plugin for plugin in enabled if has_point(plugin, point)) for point, enabled in plugins.items()
        }
        weights = weights or {}
        self.filters: tuple[Plugin, ...] = self.at(Point.FILTER)
        self.scores: tuple[tuple[Plugin, int], ...] = tuple(
            (plugin, weights.get(plugin.name, 1)) for plugin in self.at(Point.SCORE)
        )
        #: All plugins, each once.
        self.plugins: tuple[Plugin, ...] = tuple(
            {id(plugin): plugin for enabled in plugins.values() for plugin in enabled}.values()
        )
        self._keyed = tuple(plugin for plugin in self.plugins if type(plugin).key is not Plugin.key)

    @classmethod
    def of(cls, scheduler_name: str, plugins: Iterable[tuple[Plugin, int]]) -> Profile:
        """Every plugin at every point it has, in this order; with the weight of its score (0: it has none)."""
        pairs = list(plugins)
        at = {point: [plugin for plugin, _ in pairs] for point in Point}
        at[Point.SCORE] = [plugin for plugin, weight in pairs if weight]
        return cls(scheduler_name, at, {plugin.name: weight for plugin, weight in pairs})

    def at(self, point: Point) -> tuple[Plugin, ...]:
        """The plugins that are asked at a point, in order."""
        return self._at.get(point, ())

    def facts(self, pod: Pod) -> dict[str, object]:
        """What plugins look at in the pod beyond what every template has: by plugin."""
        return {plugin.name: fact for plugin in self._keyed if (fact := plugin.key(pod)) is not None}

    def gate(self, pod: Pod) -> tuple[str, str]:
        """(plugin, reason) of what keeps the pod out of the queue; empty if nothing does."""
        for plugin in self.at(Point.PRE_ENQUEUE):
            if reason := plugin.pre_enqueue(pod):
                return plugin.name, reason
        return "", ""


ProfileMaker = Callable[[Any], Profile]
"""Makes a profile whose plugins have that Handle; None: for decisions alone."""


def default_profile(
    handle: Any = None, scheduler_name: str = DEFAULT_SCHEDULER_NAME, args: Mapping[str, Any] | None = None
) -> Profile:
    """Upstream's default plugins and weights; `args` by plugin name."""
    args = args or {}
    return Profile.of(scheduler_name, [(kind(args.get(kind.name), handle), weight) for kind, weight in DEFAULT_PLUGINS])
