"""A small apiserver for one resource: enough of list, watch, get, create, update and delete to test clients against."""

from __future__ import annotations

import itertools
import re
from typing import Any

from tiphys.api import codec, errors
from tiphys.api.errors import ApiError
from tiphys.base.http.messages import PeerIdentity, Request, Response, StreamResponse, StreamWriter
from tiphys.client import Client, InProcessTransport

_PATH = re.compile(
    r"/api(?:s/(?P<group>[^/]+))?/v1(?:/namespaces/(?P<ns>[^/]+))?/(?P<plural>[^/]+)(?:/(?P<name>[^/]+))?(?:/.*)?"
)


class FakeApi:
    """Objects by path as plain data. `refuse` holds errors for the next requests; `requests` is what was asked."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.requests: list[str] = []
        self.refuse: list[ApiError | Exception] = []
        self._revision = itertools.count(1)
        self.revision = 0
        self.oldest = 0
        self.history: list[tuple[int, str, str, dict[str, Any]]] = []
        self.watchers: list[tuple[str, StreamWriter]] = []

    def client(self) -> Client:
        return Client(InProcessTransport(self.handle, PeerIdentity("test")))

    def put(self, path: str, obj: dict[str, Any], event: str) -> dict[str, Any]:
        self.revision = next(self._revision)
        obj = {**obj, "metadata": {**obj.get("metadata", {}), "resourceVersion": str(self.revision)}}
        if event == "DELETED":
            self.objects.pop(path, None)
        else:
            self.objects[path] = obj
        self.history.append((self.revision, event, path, obj))
        for prefix, writer in self.watchers:
            if path.startswith(prefix):
                writer.write(self.line(event, obj))
        return obj

    def line(self, event: str, obj: dict[str, Any]) -> bytes:
        return codec.encode_any({"type": event, "object": obj}) + b"\n"

    def cut(self) -> None:
        """End every watch."""
        watchers, self.watchers = self.watchers, []
        for _, writer in watchers:
            writer.end()  # type: ignore[attr-defined]

    async def handle(self, request: Request) -> Response:
        self.requests.append(f"{request.method} {request.path}" + ("?watch" if request.query.get("watch") else ""))
        if self.refuse:
            error = self.refuse.pop(0)
            if not isinstance(error, ApiError):
                raise error
            return _refused(error)
        try:
            return self._serve(request)
        except ApiError as error:
            return _refused(error)

    def _serve(self, request: Request) -> Response:
        match = _PATH.fullmatch(request.path)
        assert match is not None, request.path
        plural, name = match["plural"], match["name"]
        prefix = f"{plural}/" + (f"{match['ns']}/" if match["ns"] else "")
        path = f"{prefix}{name}"
        if name is None:
            return self._collection(request, plural, prefix)
        if path not in self.objects:
            raise errors.not_found(plural, name)
        if request.method == "GET":
            return Response(200, codec.encode_any(self.objects[path]))
        if request.method == "DELETE":
            return Response(200, codec.encode_any(self.put(path, self.objects[path], "DELETED")))
        body = codec.decode_any(request.body)
        if request.method == "PATCH":
            metadata = {**self.objects[path]["metadata"], **body.pop("metadata", {})}
            return Response(
                200, codec.encode_any(self.put(path, {**self.objects[path], **body, "metadata": metadata}, "MODIFIED"))
            )
        if body["metadata"].get("resourceVersion") != self.objects[path]["metadata"]["resourceVersion"]:
            raise errors.conflict(plural, name)
        return Response(200, codec.encode_any(self.put(path, body, "MODIFIED")))

    def _collection(self, request: Request, plural: str, prefix: str) -> Response:
        if request.method == "POST":
            body = codec.decode_any(request.body)
            path = f"{prefix}{body['metadata']['name']}"
            if path in self.objects:
                raise errors.already_exists(plural, body["metadata"]["name"])
            body["metadata"].setdefault("uid", f"uid-{self.revision}")
            return Response(201, codec.encode_any(self.put(path, body, "ADDED")))
        if request.query.get("watch"):
            return self._watch(int(request.query.get("resourceVersion") or 0), prefix)
        items = [obj for path, obj in sorted(self.objects.items()) if path.startswith(prefix)]
        after, limit = int(request.query.get("continue") or 0), int(request.query.get("limit") or 0) or len(items)
        more = str(after + limit) if after + limit < len(items) else None
        meta = {"resourceVersion": str(self.revision), **({"continue": more} if more else {})}
        stripped = [
            {k: v for k, v in obj.items() if k not in ("kind", "apiVersion")} for obj in items[after : after + limit]
        ]
        return Response(200, codec.encode_any({"kind": "List", "metadata": meta, "items": stripped}))

    def _watch(self, after: int, prefix: str) -> Response:
        async def run(writer: StreamWriter) -> None:
            if after < self.oldest:
                gone = codec.to_dict(errors.expired("too old resource version").status)
                writer.write(self.line("ERROR", gone))
                return
            for revision, event, path, obj in self.history:
                if revision > after and path.startswith(prefix):
                    writer.write(self.line(event, obj))
            self.watchers.append((prefix, writer))
            await writer.wait_closed()

        return StreamResponse(run)


def _refused(error: ApiError) -> Response:
    seconds = error.retry_after_seconds
    headers = ((b"retry-after", str(seconds).encode()),) if seconds is not None else ()
    return Response(error.code, codec.encode(error.status), headers=headers)


def pod(name: str, namespace: str = "default", uid: str = "", **labels: str) -> dict[str, Any]:
    meta = {"name": name, "namespace": namespace, "labels": labels, "uid": uid or f"uid-{name}"}
    return {"kind": "Pod", "apiVersion": "v1", "metadata": meta, "spec": {"containers": []}}
