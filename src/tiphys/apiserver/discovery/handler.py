"""Answers to discovery requests: encoded once, revalidated by ETag."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

import yaml

from tiphys.api import codec, errors
from tiphys.api.scheme import RESOURCES, Resource
from tiphys.apiserver.discovery import documents
from tiphys.apiserver.discovery.documents import Document, RemoteVersion
from tiphys.base.http.messages import Request, Response

_AGGREGATED_VERSIONS: Final = ("v2", "v2beta1")
_JSON: Final = "application/json"
_YAML: Final = "application/yaml"
_VARY: Final = (b"Vary", b"Accept")


class Discovery:
    """Knows the served resources; custom ones come and go while it runs. server_address: ``host:port`` for ``/api``."""

    def __init__(self, resources: Iterable[Resource] = RESOURCES, server_address: str = "") -> None:
        self._resources = list(resources)
        self._server_address = server_address
        self._groups = documents.by_group(self._resources)
        self._remote: tuple[RemoteVersion, ...] = ()
        self._encoded: dict[tuple[str, str], bytes] = {}
        self._tags: dict[tuple[str, str], bytes] = {}

    def replace(self, resources: Iterable[Resource]) -> None:
        """Serve exactly these from now on."""
        self._resources = list(resources)
        self._groups = documents.by_group(self._resources)
        self._encoded.clear()
        self._tags.clear()

    def replace_remote(self, remote: Iterable[RemoteVersion]) -> None:
        """Describe exactly these as what other servers serve, from now on; preferred ones first."""
        self._remote = tuple(remote)
        self._encoded.clear()
        self._tags.clear()

    @property
    def paths(self) -> list[str]:
        """Every path answered here, for the index at ``/``."""
        found = ["/api", "/apis"]
        for group, versions in documents.versions_by_group(self._groups, self._remote).items():
            if group:
                found.append(f"/apis/{group}")
            found.extend(f"/apis/{group}/{version}" if group else f"/api/{version}" for version in versions)
        return found

    def handle(self, request: Request) -> Response:
        """The answer for ``/api``, ``/apis`` and what is directly below. Raises ApiError: 404 for unknown groups,
        405 for methods that would write."""
        path = request.path.rstrip("/")
        form, media_type = _accepted(request.headers.get(b"accept"), path in ("/api", "/apis"))
        key = (path, form)
        body = self._encoded.get(key)
        if body is None:
            document = self._aggregated(path, form) if form else self._document(path)
            body = self._encoded[key] = bytes(codec.encode_any(document))
        if request.method not in ("GET", "HEAD"):
            raise errors.method_not_allowed()
        if not form:
            return _plain(body, media_type)
        tag = self._tags.get(key)
        if tag is None:
            tag = self._tags[key] = b'"%b"' % hashlib.sha512(body).hexdigest().upper().encode()
        headers = ((b"ETag", tag), _VARY, (b"Cache-Control", b"public"))
        if request.headers.get(b"if-none-match") == tag:
            return Response(304, b"", "", headers)
        return Response(200, body, f"{_JSON};g=apidiscovery.k8s.io;v={form};as=APIGroupDiscoveryList", headers)

    def _document(self, path: str) -> Document:
        if path == "/api":
            return documents.api_versions(self._server_address)
        if path == "/apis":
            return documents.group_list(documents.versions_by_group(self._groups, self._remote))
        parts = path.split("/")[1:]
        group = parts[1] if parts[0] == "apis" else ""
        rest = parts[2:] if group else parts[1:]
        if not rest:
            listed = documents.versions_by_group(self._groups, self._remote).get(group)
            if listed is None:
                raise errors.route_not_found()
            return documents.api_group(group, listed)
        versions = self._groups.get(group, {})
        if len(rest) > 1 or rest[0] not in versions:
            raise errors.route_not_found()
        return documents.resource_list(group, rest[0], versions[rest[0]])

    def _aggregated(self, path: str, version: str) -> Document:
        core = path == "/api"
        own = {g: v for g, v in self._groups.items() if (g == "") is core}
        return documents.aggregated(own, version, () if core else self._remote)


def _plain(body: bytes, media_type: str) -> Response:
    if media_type == _YAML:
        body = yaml.dump(codec.decode_any(body), Dumper=yaml.CSafeDumper, sort_keys=True).encode()
    return Response(200, body, media_type, (_VARY, (b"Cache-Control", b"no-cache, private")))


def _accepted(accept: bytes, can_aggregate: bool) -> tuple[str, str]:
    """The version of the aggregated form the client prefers ("" for the old form), and the media type."""
    for clause in accept.decode("latin-1").split(","):
        media_type, *parameters = (part.strip() for part in clause.split(";"))
        values = dict(parameter.partition("=")[::2] for parameter in parameters)
        if "as" in values:
            wanted = (values.get("g"), values["as"]) == ("apidiscovery.k8s.io", "APIGroupDiscoveryList")
            if can_aggregate and wanted and media_type == _JSON and values.get("v") in _AGGREGATED_VERSIONS:
                return values["v"], _JSON
        elif media_type in (_JSON, "*/*", "application/*", ""):
            return "", _JSON
        elif media_type == _YAML:
            return "", _YAML
    return "", _JSON
