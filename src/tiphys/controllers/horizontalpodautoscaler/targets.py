"""What can be scaled: kinds found by discovery, custom ones included, and their scale subresource."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from tiphys.api import codec
from tiphys.api.errors import ApiError
from tiphys.api.scheme import Resource, by_gvk
from tiphys.api.types.autoscaling_v1 import Scale
from tiphys.client import Client


class UnknownKind(Exception):
    """No served kind is meant; the text is upstream's."""


class Targets:
    """Kinds by apiVersion and kind; those of custom resources are asked for each time, as they come and go."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def find(self, api_version: str, kind: str) -> Resource:
        """The resource of a kind. Raises UnknownKind, ApiError, OSError."""
        group, _, version = api_version.rpartition("/")
        known = by_gvk(group, version, kind)
        if known is not None:
            return known
        path = f"/apis/{quote(group)}/{quote(version)}" if group else f"/api/{quote(version)}"
        answer = await self._client.raw("GET", path)
        document: Any = codec.decode_any(answer.body) if answer.status == 200 else {}
        for entry in document.get("resources") or ():
            if entry.get("kind") == kind and "/" not in entry.get("name", "/"):
                return Resource(
                    group=group,
                    version=version,
                    kind=kind,
                    plural=entry["name"],
                    namespaced=bool(entry.get("namespaced")),
                    short_names=(),
                    categories=(),
                    subresources=(),
                    verbs=tuple(entry.get("verbs") or ()),
                )
        raise UnknownKind(f'no matches for kind "{kind}" in group "{group}"')

    async def scale(self, resource: Resource, namespace: str, name: str) -> Scale:
        """Raises ApiError, OSError."""
        answer = await self._client.raw("GET", _path(resource, namespace, name))
        if answer.status >= 300:
            raise ApiError.from_body(answer.status, answer.body)
        return codec.decode(Scale, answer.body)

    async def rescale(self, resource: Resource, scale: Scale) -> None:
        """Store a changed Scale. Raises ApiError (409 if it changed meanwhile), OSError."""
        path = _path(resource, scale.metadata.namespace or "", scale.metadata.name or "")
        answer = await self._client.raw("PUT", path, codec.encode(scale))
        if answer.status >= 300:
            raise ApiError.from_body(answer.status, answer.body)


def _path(resource: Resource, namespace: str, name: str) -> str:
    return quote(resource.path(namespace, name, "scale"))
