"""A container's environment: envFrom, env, valueFrom, services, ``$(NAME)``."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from tiphys.api.types.core_v1 import ConfigMap, Container, EnvVar, EnvVarSource, Pod, Secret, Service
from tiphys.kubelet.lifecycle.state import AnyContainer
from tiphys.kubelet.spec.downward import FieldError, NodeFacts, field_value, resource_value
from tiphys.kubelet.spec.expansion import expand
from tiphys.kubelet.spec.services import service_environment

_NAME: Final = re.compile(r"[ -<>-~]+")
"""Printable ASCII without '=': what a variable may be called (relaxed validation, v1.34 on)."""


class ConfigError(ValueError):
    """The container cannot be configured now; becomes CreateContainerConfigError, and its text the message."""


Lookup = Callable[[str, str], ConfigMap | Secret | None]
"""(kind, name) to the object in the pod's namespace, kind being "ConfigMap" or "Secret"; None when there is none."""


def referenced(pod: Pod, container: AnyContainer) -> set[tuple[str, str]]:
    """(kind, name) of every object the container's environment is made from."""
    found: set[tuple[str, str]] = set()
    for source in container.env_from:
        if source.config_map_ref is not None:
            found.add(("ConfigMap", source.config_map_ref.name or ""))
        if source.secret_ref is not None:
            found.add(("Secret", source.secret_ref.name or ""))
    for variable in container.env:
        if variable.value_from is None:
            continue
        if variable.value_from.config_map_key_ref is not None:
            found.add(("ConfigMap", variable.value_from.config_map_key_ref.name or ""))
        if variable.value_from.secret_key_ref is not None:
            found.add(("Secret", variable.value_from.secret_key_ref.name or ""))
    return found


def environment(
    pod: Pod, container: AnyContainer, services: Iterable[Service], lookup: Lookup, facts: NodeFacts
) -> dict[str, str]:
    """Every variable, in order. Later ones win: services, then envFrom, then env. Raises ConfigError."""
    links = pod.spec.enable_service_links is not False
    of_services = service_environment(services, pod.metadata.namespace or "", links=links)
    result = _from_sources(pod, container, lookup)
    for variable in container.env:
        value = _value(pod, container, variable, result, of_services, lookup, facts)
        if value is not None:
            result.pop(variable.name, None)
            result[variable.name] = value
    for name, value in of_services.items():
        result.setdefault(name, value)
    return result


def data_of(found: ConfigMap | Secret) -> dict[str, bytes]:
    """An object's entries as bytes."""
    if isinstance(found, Secret):
        return {key: base64.b64decode(value) for key, value in found.data.items()}
    binary = {key: base64.b64decode(value) for key, value in found.binary_data.items()}
    return {**{key: value.encode() for key, value in found.data.items()}, **binary}


def _from_sources(pod: Pod, container: AnyContainer, lookup: Lookup) -> dict[str, str]:
    result: dict[str, str] = {}
    for source in container.env_from:
        ref, kind = (
            (source.config_map_ref, "ConfigMap") if source.config_map_ref is not None else (source.secret_ref, "Secret")
        )
        if ref is None:
            continue
        found = lookup(kind, ref.name or "")
        if found is None:
            if ref.optional:
                continue
            raise ConfigError(_missing(kind, ref.name or ""))
        values = found.data if isinstance(found, ConfigMap) else data_of(found)
        for key in sorted(values):
            value = values[key]
            name = (source.prefix or "") + key
            if _NAME.fullmatch(name):
                result[name] = value if isinstance(value, str) else value.decode(errors="surrogateescape")
    return result


def _missing(kind: str, name: str) -> str:
    return f'{kind.lower()} "{name}" not found'


def _value(
    pod: Pod,
    container: AnyContainer,
    variable: EnvVar,
    known: Mapping[str, str],
    of_services: Mapping[str, str],
    lookup: Lookup,
    facts: NodeFacts,
) -> str | None:
    source = variable.value_from
    if source is None:
        return expand(variable.value or "", lambda name: known.get(name, of_services.get(name)))
    if source.config_map_key_ref is not None or source.secret_key_ref is not None:
        return _key_value(pod, source, lookup)
    try:
        if source.field_ref is not None:
            return field_value(pod, source.field_ref.field_path, facts)
        if source.resource_field_ref is not None:
            own = container if isinstance(container, Container) else None
            return resource_value(pod, source.resource_field_ref, own, facts)
    except FieldError as error:
        raise ConfigError(str(error)) from None
    return None


def _key_value(pod: Pod, source: EnvVarSource, lookup: Lookup) -> str | None:
    ref = source.config_map_key_ref or source.secret_key_ref
    if ref is None:
        return None
    kind = "ConfigMap" if source.config_map_key_ref is not None else "Secret"
    found = lookup(kind, ref.name or "")
    if found is None:
        if ref.optional:
            return None
        raise ConfigError(_missing(kind, ref.name or ""))
    if ref.key not in found.data:
        if ref.optional:
            return None
        raise ConfigError(f"couldn't find key {ref.key} in {kind} {pod.metadata.namespace}/{ref.name}")
    if isinstance(found, ConfigMap):
        return found.data[ref.key]
    return base64.b64decode(found.data[ref.key]).decode(errors="surrogateescape")
