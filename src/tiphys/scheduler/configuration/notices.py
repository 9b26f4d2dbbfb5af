"""What a configuration says that changes nothing here: told once by whoever starts the scheduler, never passed over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from tiphys.scheduler.configuration.build import merged, points_of
from tiphys.scheduler.configuration.reading import Args, Read
from tiphys.scheduler.configuration.types import ClientConnection, KubeSchedulerProfile
from tiphys.scheduler.configuration.validation import POINTS, disables, enables
from tiphys.scheduler.framework import Plugin, Point
from tiphys.scheduler.plugin_args import DynamicResourcesArgs

_ONE_ANSWER: Final = {Point.PRE_FILTER: Point.FILTER, Point.PRE_SCORE: Point.SCORE}


def notices(read: Read, registry: Mapping[str, type[Plugin]]) -> tuple[str, ...]:
    """A line for each such field, with its path; none for most configurations."""
    return tuple(_notices(read, registry))


def _notices(read: Read, registry: Mapping[str, type[Plugin]]) -> Iterator[str]:
    said = read.configuration
    if said.parallelism is not None:
        yield "parallelism: has no effect: all nodes are looked at in one array operation"
    yield from _percentage(said.percentage_of_nodes_to_score, "")
    yield from _connection(said.client_connection)
    for field, on in (
        ("enableProfiling", said.enable_profiling),
        ("enableContentionProfiling", said.enable_contention_profiling),
    ):
        if on:
            yield f"{field}: has no effect: profiles of Go code are not served"
    for index, (profile, args) in enumerate(zip(said.profiles, read.args, strict=True)):
        path = f"profiles[{index}]."
        yield from _percentage(profile.percentage_of_nodes_to_score, path)
        yield from _profile(profile, args, path, registry)


def _percentage(value: int | None, path: str) -> Iterator[str]:
    if value is not None and value < 100:
        yield f"{path}percentageOfNodesToScore: has no effect: every node is filtered and scored"


def _connection(connection: ClientConnection) -> Iterator[str]:
    given = {
        "acceptContentTypes": connection.accept_content_types,
        "contentType": connection.content_type,
        "qps": connection.qps,
        "burst": connection.burst,
    }
    for field, value in given.items():
        if value and value != "application/json":
            yield f"clientConnection.{field}: has no effect: requests are JSON, and as many as the server takes"


def _profile(
    profile: KubeSchedulerProfile, args: Args, path: str, registry: Mapping[str, type[Plugin]]
) -> Iterator[str]:
    plugins = profile.plugins
    sets = [("multiPoint", plugins.multi_point)]
    sets += [(point.value, getattr(plugins, field)) for point, field in POINTS.items()]
    for where, chosen in sets:
        for index, entry in enumerate(chosen.disabled):
            if entry.name != "*" and entry.name not in registry:
                yield f'{path}plugins.{where}.disabled[{index}].name: has no effect: there is no plugin "{entry.name}"'
    at = points_of(profile, registry)
    for before, point in _ONE_ANSWER.items():
        own = getattr(plugins, POINTS[before])
        for ref in at[point]:
            if disables(own, ref.name) and not enables(own, ref.name):
                yield f'{path}plugins.{before}: disabling "{ref.name}" has no effect: it answers at {point}, in one go'
    enabled = {ref.name for refs in (merged(plugins.multi_point), *at.values()) for ref in refs}
    for index, given in enumerate(profile.plugin_config):
        if given.name not in enabled:
            yield f'{path}pluginConfig[{index}]: has no effect: plugin "{given.name}" is not enabled'
        elif _bounds_search(args.get(given.name)):
            yield f"{path}pluginConfig[{index}].args.filterTimeout: has no effect: the search is bounded in steps"


def _bounds_search(args: object) -> bool:
    return isinstance(args, DynamicResourcesArgs) and args.filter_timeout != DynamicResourcesArgs().filter_timeout
