"""Scheduler plugins that other packages bring: found by entry point, used where a KubeSchedulerConfiguration says so.

[project.entry-points."tiphys.scheduler_plugins"]
RackPower = "rack_plugins.power:RackPower"
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Final, NamedTuple

from tiphys.base.logging import get_logger
from tiphys.scheduler.framework import Plugin
from tiphys.scheduler.plugin_guard import guarded, unusable
from tiphys.scheduler.plugins import REGISTRY

GROUP: Final = "tiphys.scheduler_plugins"
KNOWN_TO_UPSTREAM: Final = frozenset({"PrioritySort", "DefaultBinder", "NodeName"})
"""Names that mean something in a configuration although no plugin of ours has them."""
_logger = get_logger(__name__)


class Loaded(NamedTuple):
    """What other packages bring, by name."""

    plugins: Mapping[str, type[Plugin]]
    """What can be enabled. One that cannot be used is here too: pods of a profile that enables it wait, and say why."""
    failures: Mapping[str, str]
    """Why those cannot be used."""


def load_plugins(found: Iterable[EntryPoint] | None = None) -> Loaded:
    """Load every plugin of `GROUP` that is installed (or of `found`). Never raises: what fails is in `failures`."""
    plugins: dict[str, type[Plugin]] = {}
    failures: dict[str, str] = {}
    points = entry_points(group=GROUP) if found is None else found
    for point in sorted(points, key=lambda point: (point.name, _package(point), point.value)):
        if point.name in REGISTRY or point.name in KNOWN_TO_UPSTREAM:
            _logger.error("a plugin has the name of one of our own and is not used", plugin=point.name, of=_of(point))
            continue
        if point.name in plugins:
            why = f'plugin "{point.name}" is brought by more than one package: {_of(point)} is one of them'
        else:
            kind, why = _load(point)
            if kind is not None:
                plugins[point.name] = guarded(kind)
                continue
        _logger.error("a plugin cannot be used", plugin=point.name, why=why)
        failures[point.name] = why
        plugins[point.name] = unusable(point.name, why)
    return Loaded(plugins, failures)


def registry(found: Iterable[EntryPoint] | None = None) -> dict[str, type[Plugin]]:
    """All plugins there are, ours and others', by the names that a configuration enables them by."""
    return REGISTRY | dict(load_plugins(found).plugins)


def _load(point: EntryPoint) -> tuple[type[Plugin] | None, str]:
    """(the plugin, ""), or (None, why not)."""
    subject = f'plugin "{point.name}" of {_of(point)}'
    try:
        kind = point.load()
    except Exception as error:
        _logger.exception("a plugin cannot be imported", plugin=point.name, of=_of(point))
        return None, f"{subject} cannot be imported: {error!r}"
    if not (isinstance(kind, type) and issubclass(kind, Plugin)):
        return None, f"{subject} is no subclass of tiphys.scheduler.framework.Plugin"
    named = getattr(kind, "name", "")
    if named != point.name:
        return None, f'{subject} calls itself "{named}": both names must be the same'
    return kind, ""


def _of(point: EntryPoint) -> str:
    return f"{_package(point)} ({point.value})"


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else "an unknown package"
