"""A configuration as text, with all that it leaves to the defaults: read again, it means the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import yaml
from msgspec.structs import replace

from tiphys.scheduler.configuration.build import merged, points_of
from tiphys.scheduler.configuration.reading import Args, Read
from tiphys.scheduler.configuration.types import API_VERSION, KIND, KubeSchedulerProfile, PluginConfig
from tiphys.scheduler.framework import Plugin


def dump(read: Read, registry: Mapping[str, type[Plugin]]) -> str:
    """YAML: every profile with all its plugins and their args."""
    said = read.configuration
    profiles = tuple(_full(profile, args, registry) for profile, args in zip(said.profiles, read.args, strict=True))
    # What equals a default is left out of an encoded Struct, but this is to show the defaults.
    election = {_camel(name): value for name, value in msgspec.structs.asdict(said.leader_election).items()}
    explicit = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "podInitialBackoffSeconds": said.pod_initial_backoff_seconds,
        "podMaxBackoffSeconds": said.pod_max_backoff_seconds,
        "leaderElection": election,
    }
    given = {key: value for key, value in msgspec.to_builtins(said).items() if key not in explicit}
    data = {**explicit, **given, "profiles": [msgspec.to_builtins(profile) for profile in profiles]}
    return str(yaml.dump(_without_nothing(data), Dumper=yaml.CSafeDumper, sort_keys=False))


def _full(profile: KubeSchedulerProfile, args: Args, registry: Mapping[str, type[Plugin]]) -> KubeSchedulerProfile:
    everywhere = merged(profile.plugins.multi_point)
    enabled = {ref.name: ref for refs in (everywhere, *points_of(profile, registry).values()) for ref in refs}
    names = dict.fromkeys((*enabled, *(given.name for given in profile.plugin_config)))
    config = tuple(
        PluginConfig(name=name, args=_args(name, registry[name], args.get(name)))
        for name in names
        if registry[name].args_type is not None
    )
    multi_point = replace(profile.plugins.multi_point, enabled=tuple(everywhere))
    return replace(profile, plugins=replace(profile.plugins, multi_point=multi_point), plugin_config=config)


def _args(name: str, plugin: type[Plugin], args: Any) -> Any:
    if args is None:
        args = plugin.args_type()
    data = msgspec.to_builtins(args, enc_hook=str)
    known = {"apiVersion": API_VERSION, "kind": f"{name}Args"}
    return {**data, **{field: value for field, value in known.items() if field in data}}


def _camel(name: str) -> str:
    first, *more = name.split("_")
    return first + "".join(word.capitalize() for word in more)


def _without_nothing(data: Any) -> Any:
    """Empty lists are left out, too: upstream takes an empty `shape` for one."""
    if isinstance(data, dict):
        return {key: _without_nothing(value) for key, value in data.items() if value not in (None, [], ())}
    if isinstance(data, list | tuple):
        return [_without_nothing(item) for item in data]
    return data
