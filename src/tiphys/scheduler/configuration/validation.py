"""What may be wrong with a configuration, in upstream's words. Source: kube-scheduler configuration v1."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from tiphys.api.field_errors import FieldError, duplicate, invalid, not_found, not_supported, required
from tiphys.scheduler.configuration.extenders import check_extenders
from tiphys.scheduler.configuration.types import (
    KubeSchedulerConfiguration,
    KubeSchedulerProfile,
    LeaderElection,
    PluginSet,
)
from tiphys.scheduler.durations import seconds
from tiphys.scheduler.framework import Plugin, Point, has_point

_POSITIVE: Final = "must be greater than zero"
POINTS: Final = {point: re.sub(r"(?<!^)([A-Z])", r"_\1", point.value).lower() for point in Point}
"""By extension point, the field of Plugins that has it."""


def check(
    configuration: KubeSchedulerConfiguration, registry: Mapping[str, type[Plugin]], errors: list[FieldError]
) -> None:
    """All but the plugins' args."""
    if configuration.parallelism is not None and configuration.parallelism <= 0:
        detail = "should be an integer value greater than zero"
        errors.append(invalid("parallelism", configuration.parallelism, detail))
    _check_percentage(configuration.percentage_of_nodes_to_score, "percentageOfNodesToScore", errors)
    initial, most = configuration.pod_initial_backoff_seconds, configuration.pod_max_backoff_seconds
    if initial <= 0:
        errors.append(invalid("podInitialBackoffSeconds", initial, "must be greater than 0"))
    if most < initial:
        detail = "must be greater than or equal to PodInitialBackoffSeconds"
        errors.append(invalid("podMaxBackoffSeconds", most, detail))
    if configuration.client_connection.burst < 0:
        errors.append(invalid("clientConnection.burst", configuration.client_connection.burst, "must be non-negative"))
    _check_election(configuration.leader_election, errors)
    check_extenders(configuration.extenders, errors)
    seen: set[str] = set()
    for index, profile in enumerate(configuration.profiles):
        path = f"profiles[{index}]"
        if profile.scheduler_name in seen:
            errors.append(duplicate(f"{path}.schedulerName", profile.scheduler_name))
        seen.add(profile.scheduler_name)
        _check_profile(profile, path, registry, errors)
        if profile.plugins.queue_sort != configuration.profiles[0].plugins.queue_sort:
            sort = msgspec.to_builtins(profile.plugins.queue_sort)
            errors.append(invalid(f"{path}.plugins.queueSort", sort, "must be the same for all profiles"))


def _check_election(election: LeaderElection, errors: list[FieldError]) -> None:
    if election.leader_elect is False:
        return
    found: dict[str, float] = {}
    for field in ("leaseDuration", "renewDeadline", "retryPeriod"):
        text = {"l": election.lease_duration, "r": election.renew_deadline}.get(field[0], "")
        text = election.retry_period if field == "retryPeriod" else text
        length = seconds(text)
        if length is None or length <= 0:
            errors.append(invalid(f"leaderElection.{field}", text, _POSITIVE))
        else:
            found[field] = length
    if len(found) == 3:
        if found["leaseDuration"] <= found["renewDeadline"]:
            detail = "LeaseDuration must be greater than RenewDeadline"
            errors.append(invalid("leaderElection.leaseDuration", election.renew_deadline, detail))
        if found["renewDeadline"] <= found["retryPeriod"]:
            detail = "RenewDeadline must be greater than RetryPeriod"
            errors.append(invalid("leaderElection.renewDeadline", election.retry_period, detail))
    if election.resource_lock != "leases":
        detail = 'resourceLock value must be "leases"'
        errors.append(invalid("leaderElection.resourceLock", election.resource_lock, detail))
    for field, value in (("resourceName", election.resource_name), ("resourceNamespace", election.resource_namespace)):
        if not value:
            errors.append(required(f"leaderElection.{field}", f"{field} is required"))


def _check_percentage(value: int | None, path: str, errors: list[FieldError]) -> None:
    if value is not None and not 0 <= value <= 100:
        errors.append(invalid(path, value, "not in valid range [0-100]"))


def _check_profile(
    profile: KubeSchedulerProfile, path: str, registry: Mapping[str, type[Plugin]], errors: list[FieldError]
) -> None:
    if not profile.scheduler_name:
        errors.append(required(f"{path}.schedulerName"))
    _check_percentage(profile.percentage_of_nodes_to_score, f"{path}.percentageOfNodesToScore", errors)
    _check_set(profile.plugins.multi_point, None, f"{path}.plugins.multiPoint", registry, errors)
    for point, attribute in POINTS.items():
        chosen: PluginSet = getattr(profile.plugins, attribute)
        _check_set(chosen, point, f"{path}.plugins.{point}", registry, errors)
    _check_sort(profile, f"{path}.plugins.queueSort", errors)
    seen: set[str] = set()
    for index, given in enumerate(profile.plugin_config):
        where = f"{path}.pluginConfig[{index}]"
        if given.name in seen:
            errors.append(duplicate(where, given.name))
        elif given.name not in registry:
            errors.append(not_found(f"{where}.name", given.name))
        seen.add(given.name)


def _check_set(
    chosen: PluginSet, point: Point | None, path: str, registry: Mapping[str, type[Plugin]], errors: list[FieldError]
) -> None:
    """Every plugin that is spoken of exists, has that point, and is enabled once."""
    seen: set[str] = set()
    for index, entry in enumerate(chosen.enabled):
        where = f"{path}.enabled[{index}]"
        plugin = registry.get(entry.name)
        if plugin is None:
            errors.append(not_found(f"{where}.name", entry.name))
        elif point is not None and point not in _OF_NAME.get(entry.name, ()) and not _has(plugin, point):
            errors.append(invalid(f"{where}.name", entry.name, f"plugin does not extend {point}"))
        if entry.name in seen:
            errors.append(duplicate(f"{where}.name", entry.name))
        if entry.weight is not None and not 0 <= entry.weight <= _MAXIMUM_WEIGHT:
            errors.append(invalid(f"{where}.weight", entry.weight, f"not in valid range [0-{_MAXIMUM_WEIGHT}]"))
        seen.add(entry.name)


_MAXIMUM_WEIGHT: Final = (1 << 31) - 1
_OF_NAME: Final = {
    "PrioritySort": (Point.QUEUE_SORT,),
    "NodeName": (Point.FILTER,),
    "DefaultPreemption": (Point.PRE_ENQUEUE,),
    "DynamicResources": (Point.PRE_FILTER, Point.PRE_SCORE, Point.SCORE),
    "GangScheduling": (Point.RESERVE, Point.PERMIT),
    "VolumeBinding": (Point.PRE_SCORE, Point.SCORE),
}
"""Points that upstream's plugin of that name has. Ours has nothing to do there, or the scheduler itself does it."""


def _has(plugin: type[Plugin], point: Point) -> bool:
    also = {Point.PRE_FILTER: Point.FILTER, Point.PRE_SCORE: Point.SCORE}
    return has_point(plugin, also.get(point, point))


def disables(chosen: PluginSet, name: str) -> bool:
    """Whether that plugin goes, unless it is enabled anew."""
    return any(entry.name in ("*", name) for entry in chosen.disabled)


def enables(chosen: PluginSet, name: str) -> bool:
    """Whether that plugin is spoken for by name."""
    return any(entry.name == name for entry in chosen.enabled)


_SORT: Final = "PrioritySort"


def _check_sort(profile: KubeSchedulerProfile, path: str, errors: list[FieldError]) -> None:
    own, everywhere = profile.plugins.queue_sort, profile.plugins.multi_point
    for index, entry in enumerate(own.enabled):
        if entry.name != _SORT:
            errors.append(not_supported(f"{path}.enabled[{index}].name", entry.name, (_SORT,)))
    general = not disables(own, _SORT) and (enables(everywhere, _SORT) or not disables(everywhere, _SORT))
    if not general and not enables(own, _SORT):
        named = f'for profile with scheduler name "{profile.scheduler_name}"'
        errors.append(required(path, f"only one queue sort plugin required {named}, but got 0"))
