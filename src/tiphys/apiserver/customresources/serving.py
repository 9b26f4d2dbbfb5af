"""What a definition says is served: a kind a version, and endpoints over one cache of what is kept."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from tiphys.api import codec
from tiphys.api.scheme import Resource
from tiphys.api.types.apiextensions_v1 import CustomResourceDefinition, CustomResourceDefinitionVersion
from tiphys.apiserver.customresources.conversion import Converter, ServedVersion
from tiphys.apiserver.customresources.kinds import CustomKind
from tiphys.apiserver.customresources.scales import CustomScale
from tiphys.apiserver.registry.context import Context
from tiphys.apiserver.registry.endpoint import Endpoint
from tiphys.apiserver.subresources.scale import ScaleSubresource
from tiphys.apiserver.watch_cache.cache import ResourceCache
from tiphys.apiserver.webhooks.calling import WebhookCaller

_VERSION: Final = re.compile(r"v([1-9]\d*)(?:(alpha|beta)([1-9]\d*))?")
_STAGES: Final = {None: 2, "beta": 1, "alpha": 0}


class ServedDefinition:
    """One definition while it is served as its spec says."""

    def __init__(self, definition: CustomResourceDefinition, caller: WebhookCaller) -> None:
        self.definition = definition
        self.kinds = {version.name: CustomKind(definition, version) for version in definition.spec.versions}
        self.stored = next(version.name for version in definition.spec.versions if version.storage)
        self.served = [version for version in definition.spec.versions if version.served]
        conversion = definition.spec.conversion
        self._by_webhook = conversion is not None and conversion.strategy == "Webhook"
        kinds = list(self.kinds.values())
        # Whoever writes an object prunes and completes it for everybody if all versions have one schema.
        self._one_schema = all(kind.schema == kinds[0].schema for kind in kinds)
        self.converter = Converter(definition, caller, self._normalize, one_schema=self._one_schema)

    @property
    def storage(self) -> Resource:
        """The resource whose objects are kept."""
        return self.kinds[self.stored].resource

    @property
    def resources(self) -> list[Resource]:
        """What clients see."""
        return [self.kinds[version.name].resource for version in self.served]

    async def cache(self, context: Context) -> ResourceCache:
        """The objects there are, as they look by the definition's schema now."""
        # A definition that was never changed keeps what it pruned and completed itself.
        changed = (self.definition.metadata.generation or 1) > 1
        normalize = self._renewal() if changed and self._one_schema and not self._by_webhook else None
        return await context.feed.add(self.storage, normalize=normalize, one_version=not self._by_webhook)

    def endpoints(self, cache: ResourceCache, context: Context) -> list[tuple[Resource, Endpoint]]:
        """An endpoint for each served version."""
        made = []
        for version in self.served:
            kind = self.kinds[version.name]
            as_kept = version.name == self.stored and self._one_schema and not self._by_webhook
            versions = None if as_kept else ServedVersion(self.converter, version.name, self.stored)
            endpoint = Endpoint(kind.resource, cache, context, None, kind, versions)
            endpoint.deprecation = deprecation(self.definition, version)
            if kind.scale is not None:
                endpoint.subresources["scale"] = ScaleSubresource(endpoint, CustomScale(kind.scale))
            made.append((kind.resource, endpoint))
        return made

    def _normalize(self, data: dict[str, Any], version: str) -> None:
        kind = self.kinds.get(version)
        if kind is not None:
            kind.normalize(data)

    def _renewal(self) -> Callable[[bytes], bytes]:
        kind = self.kinds[self.stored]

        def renewed(value: bytes) -> bytes:
            before = codec.decode_any(value)
            data = codec.decode_any(value)
            kind.normalize(data)
            return value if data == before else codec.encode_any(data)

        return renewed


def deprecation(definition: CustomResourceDefinition, version: CustomResourceDefinitionVersion) -> str:
    """What requests to a version are warned with; "" if it is not deprecated."""
    if not version.deprecated:
        return ""
    if version.deprecation_warning is not None:
        return version.deprecation_warning
    spec = definition.spec
    text = f"{spec.group}/{version.name} {spec.names.kind} is deprecated"
    better = [v.name for v in spec.versions if v.served and not v.deprecated and order(v.name) > order(version.name)]
    return f"{text}; use {spec.group}/{max(better, key=order)} {spec.names.kind}" if better else text


def order(version: str) -> tuple[int, int, int, str]:
    """A sort key by which v2 > v1 > v1beta2 > v1beta1 > v1alpha1 > anything else, those by name."""
    match = _VERSION.fullmatch(version)
    if match is None:
        return (-1, 0, 0, "".join(chr(0x10FFFF - ord(letter)) for letter in version))
    major, stage, minor = match.groups()
    return (_STAGES[stage], int(major), int(minor or 0), "")
