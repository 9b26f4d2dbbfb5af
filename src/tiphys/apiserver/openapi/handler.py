"""Serves the OpenAPI documents: built when first asked for, kept compressed, named by hash for clients to keep."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from tiphys.api import codec, errors
from tiphys.api.scheme import RESOURCES, Resource
from tiphys.apiserver.openapi import documents, merging, paths, protobuf, schemas
from tiphys.apiserver.openapi.merging import Part
from tiphys.apiserver.openapi.operations import Operation
from tiphys.base.http.messages import Request, Response

_VERSION: Final = "v1.36.0"
_LEVEL: Final = 5
_YEAR_SECONDS: Final = 365 * 24 * 3600
_VARY: Final = (b"Vary", b"Accept-Encoding, Accept")
_V2: Final = "v2"
_V2_PROTOBUF: Final = "v2 protobuf"
_V3_JSON: Final = "application/json"


class OpenApi:
    """Knows the served resources. Nothing is built until a client asks."""

    def __init__(self, resources: Iterable[Resource] = RESOURCES, version: str = _VERSION) -> None:
        self._version = version
        self._custom: Mapping[str, Any] = {}
        self._kept: dict[str, bytes] = {}
        self._groups: dict[str, list[Resource]] = {}
        self._general: dict[str, list[Operation]] = {}
        self._remote: Mapping[str, str] = {}
        self._parts: tuple[Part, ...] = ()
        self._tags: dict[str, str] = {}
        self.replace(resources)

    def replace(self, resources: Iterable[Resource], custom: Mapping[str, Any] | None = None) -> None:
        """Describe exactly these from now on. custom: schemas of custom resources, by their definition's name."""
        self._custom = custom or {}
        self._kept.clear()
        self._tags.clear()
        self._groups = {}
        for resource in resources:
            if resource.definition in self._custom or schemas.needed((resource.definition,)):
                root = f"apis/{resource.group}/{resource.version}" if resource.group else f"api/{resource.version}"
                self._groups.setdefault(root, []).append(resource)
        self._general = paths.general(resource.group for resource in self._all())

    def replace_remote(self, documents_of: Mapping[str, str], parts: Iterable[Part] = ()) -> None:
        """Name these documents of other servers in the index from now on: path as ``apis/<group>/<version>`` to
        their own URL for it. `parts` are theirs of version 2, those that are preferred first."""
        self._remote = documents_of
        self._tags.pop("index", None)
        found = tuple(parts)
        if found != self._parts:
            self._parts = found
            for key in (_V2, _V2_PROTOBUF):
                self._tags.pop(key, None)
                self._kept.pop(key, None)

    @property
    def paths(self) -> list[str]:
        """The paths answered here, for the index at ``/``."""
        return ["/openapi/v2", "/openapi/v3", *(f"/openapi/v3/{root}" for root in (*self._groups, *self._general))]

    def handle(self, request: Request) -> Response:
        """The answer for ``/openapi/…``. Raises ApiError: 404 for unknown documents, 405 for methods that
        would write, 406 for clients that take version 3 in nothing but protobuf."""
        path = request.path.rstrip("/")
        if request.method not in ("GET", "HEAD"):
            raise errors.method_not_allowed()
        accept = request.headers.get(b"accept")
        if b"protobuf" in accept and not _takes_json(accept):
            if path == "/openapi/v2" and b"spec.v2" in accept:
                return self._protobuf(request)
            raise errors.not_acceptable("only application/json is available")
        if path == "/openapi/v2":
            return self._document(request, _V2, self._version_2)
        if path == "/openapi/v3":
            return _maybe_unchanged(request, self._index(), self._tag("index"), _V3_JSON, ())
        root = path.removeprefix("/openapi/v3/")
        resources, general = self._groups.get(root), self._general.get(root)
        if (resources is None and general is None) or root == path:
            raise errors.route_not_found()
        asked = request.query.get("hash")
        if asked and asked != self._tag(root):
            location = f"/openapi/v3/{root}?hash={self._tag(root)}".encode()
            return Response(301, b"", "", ((b"Location", location),))
        if resources is not None:
            return self._document(request, root, lambda: documents.version_3(resources, self._version, self._custom))
        return self._document(request, root, lambda: documents.general_version_3(general or (), self._version))

    def _protobuf(self, request: Request) -> Response:
        """Version 2 as kubectl asks for it when a manifest is of a kind it has no version 3 of, such as List."""
        kept = self._kept.get(_V2_PROTOBUF)
        if kept is None:
            document = protobuf.encode(self._version_2())
            kept = self._kept[_V2_PROTOBUF] = gzip.compress(document, _LEVEL, mtime=0)
        tag = self._tag(_V2_PROTOBUF)
        if b"gzip" in request.headers.get(b"accept-encoding"):
            return _maybe_unchanged(request, kept, tag, protobuf.CONTENT_TYPE, ((b"Content-Encoding", b"gzip"),))
        return _maybe_unchanged(request, gzip.decompress(kept), tag, protobuf.CONTENT_TYPE, ())

    def _version_2(self) -> documents.Document:
        return merging.merged(documents.version_2(self._all(), self._version, self._custom), self._parts)

    def _all(self) -> list[Resource]:
        return [resource for resources in self._groups.values() for resource in resources]

    def _tag(self, key: str) -> str:
        """The document's hash: of what it is made from, so that it is known before the document is."""
        found = self._tags.get(key)
        if found is None:
            resources = self._groups.get(key) or self._all()
            own = [self._custom.get(resource.definition) for resource in resources]
            remote = sorted(self._remote.items()) if key == "index" else ()
            parts = [part.digest for part in self._parts] if key in (_V2, _V2_PROTOBUF) else ()
            source = repr((self._version, key, schemas.described(), resources, own, remote, parts))
            found = self._tags[key] = hashlib.sha512(source.encode()).hexdigest()[:64].upper()
        return found

    def _index(self) -> bytes:
        own = {root: f"/openapi/v3/{root}?hash={self._tag(root)}" for root in (*self._groups, *self._general)}
        urls = {root: {"serverRelativeURL": url} for root, url in sorted({**self._remote, **own}.items())}
        return bytes(codec.encode_any({"paths": urls}))

    def _document(self, request: Request, key: str, build: Callable[[], documents.Document]) -> Response:
        kept = self._kept.get(key)
        if kept is None:
            kept = self._kept[key] = gzip.compress(codec.encode_any(build()), _LEVEL, mtime=0)
        headers: tuple[tuple[bytes, bytes], ...] = ()
        if request.query.get("hash"):
            headers = ((b"Cache-Control", f"public, immutable, max-age={_YEAR_SECONDS}".encode()),)
        if b"gzip" in request.headers.get(b"accept-encoding"):
            return _maybe_unchanged(request, kept, self._tag(key), _V3_JSON, (*headers, (b"Content-Encoding", b"gzip")))
        return _maybe_unchanged(request, gzip.decompress(kept), self._tag(key), _V3_JSON, headers)


def _takes_json(accept: bytes) -> bool:
    media_types = [clause.split(b";")[0].strip() for clause in accept.split(b",")]
    return any(media_type in (b"application/json", b"application/*", b"*/*") for media_type in media_types)


def _maybe_unchanged(
    request: Request, body: bytes, tag: str, content_type: str, headers: tuple[tuple[bytes, bytes], ...]
) -> Response:
    quoted = f'"{tag}"'.encode()
    headers = (*headers, (b"ETag", quoted), _VARY)
    if request.headers.get(b"if-none-match") == quoted:
        return Response(304, b"", "", headers)
    return Response(200, body, content_type, headers)
