"""From the text of a file to a configuration that makes sense, or all that is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import yaml
from msgspec.structs import replace

from tiphys.api import strict
from tiphys.api.field_errors import FieldError
from tiphys.scheduler.configuration.arguments import check_args, with_defaults
from tiphys.scheduler.configuration.extenders import ignoring
from tiphys.scheduler.configuration.types import API_VERSION, KIND, KubeSchedulerConfiguration, KubeSchedulerProfile
from tiphys.scheduler.configuration.validation import check
from tiphys.scheduler.framework import Plugin
from tiphys.scheduler.profiles import DEFAULT_SCHEDULER_NAME


class ConfigurationError(ValueError):
    """The file cannot be used; a line each of what is wrong, with the field's path. `errors` may be empty."""

    def __init__(self, lines: Sequence[object], errors: Sequence[FieldError] = ()) -> None:
        super().__init__("\n".join(str(line) for line in lines))
        self.errors = tuple(errors)


Args = dict[str, Any]
"""By plugin, an instance of its `args_type`."""


class Read(msgspec.Struct, frozen=True):
    """A valid configuration: `args` has those of each profile, in order."""

    configuration: KubeSchedulerConfiguration
    args: tuple[Args, ...]


def read(text: str | bytes, registry: Mapping[str, type[Plugin]]) -> Read:
    """What a file (YAML or JSON) says; `registry` has the plugins there are. Raises ConfigurationError.

    Fields that are unknown, or given twice, are errors, as is whatever would be ignored.
    """
    body = text.encode() if isinstance(text, str) else text
    if twice := strict.inspect_yaml(body):
        raise ConfigurationError([twice])
    try:
        data = yaml.load(body, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise ConfigurationError([f"the file is not YAML: {error}"]) from error
    if not isinstance(data, dict):
        raise ConfigurationError([f"the file holds no {KIND}"])
    if (data.get("apiVersion"), data.get("kind")) != (API_VERSION, KIND):
        found = f"{data.get('apiVersion', '')}, Kind={data.get('kind', '')}"
        raise ConfigurationError([f'no kind "{KIND}" of version "{API_VERSION}": the file holds {found}'])
    configuration = _with_names(_convert(KubeSchedulerConfiguration, data, ""))
    errors: list[FieldError] = []
    check(configuration, registry, errors)
    args = tuple(
        ignoring(_args(profile, f"profiles[{index}]", registry, errors), configuration.extenders)
        for index, profile in enumerate(configuration.profiles)
    )
    if errors:
        raise ConfigurationError(errors, errors)
    return Read(configuration, args)


def _convert(kind: type[Any], data: Any, path: str) -> Any:
    """`data` as a `kind`. Raises ConfigurationError for what does not belong there."""
    body = msgspec.json.encode(_without_nulls(data))
    if findings := strict.inspect(kind, body).all:
        raise ConfigurationError([f"strict decoding error: {_below(path, finding)}" for finding in findings])
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        said, _, where = str(error).partition(" - at `$")
        raise ConfigurationError([f"{(path + where.rstrip('`')).lstrip('.') or KIND}: {said}"]) from error


def _without_nulls(data: Any) -> Any:
    """A null is as if nothing was there."""
    if isinstance(data, dict):
        return {str(key): _without_nulls(value) for key, value in data.items() if value is not None}
    if isinstance(data, list):
        return [_without_nulls(item) for item in data]
    return data


def _below(path: str, finding: str) -> str:
    return finding.replace('field "', f'field "{path}.', 1) if path else finding


def _with_names(configuration: KubeSchedulerConfiguration) -> KubeSchedulerConfiguration:
    """One profile without a name is the default scheduler's; several must say whose they are."""
    profiles = configuration.profiles or (KubeSchedulerProfile(),)
    if len(profiles) == 1 and not profiles[0].scheduler_name:
        profiles = (replace(profiles[0], scheduler_name=DEFAULT_SCHEDULER_NAME),)
    return replace(configuration, profiles=profiles)


def _args(
    profile: KubeSchedulerProfile, path: str, registry: Mapping[str, type[Plugin]], errors: list[FieldError]
) -> Args:
    found: Args = {}
    for index, given in enumerate(profile.plugin_config):
        where = f"{path}.pluginConfig[{index}].args"
        plugin = registry.get(given.name)
        if plugin is None or given.name in found:
            continue
        if plugin.args_type is None:
            if given.args:
                raise ConfigurationError([f"{where}: {given.name} takes no args"])
            continue
        args = given.args or {}
        if plugin.args_type is dict:
            found[given.name] = args
            continue
        if isinstance(args, dict):
            _check_kind(args, given.name, where)
        found[given.name] = with_defaults(_convert(plugin.args_type, args, where))
        check_args(found[given.name], where, errors)
    return found


def _check_kind(args: dict[str, Any], plugin: str, path: str) -> None:
    """Args may say what they are; then they must be that."""
    for key, wanted in (("apiVersion", API_VERSION), ("kind", f"{plugin}Args")):
        if args.get(key, wanted) != wanted:
            raise ConfigurationError([f"{path}.{key}: must be {wanted} here, not {args[key]}"])
