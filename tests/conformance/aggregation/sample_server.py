"""A sample of a server of its own group, wardle.example.com, as it runs in a pod: flunders, kept in memory.

It believes the front proxy about who asks (its certificate is signed by /etc/sample/front-proxy-ca.crt, or the request
is refused), and writes the user into what that user creates. The pod has nothing of these tests but this file.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from pathlib import Path
from typing import Any

from tiphys.base.http.messages import Request, Response, StreamResponse, StreamWriter
from tiphys.base.http.server import HttpServer
from tiphys.base.http.tls import server_context

FOLDER = Path("/etc/sample")
GROUP, VERSION = "wardle.example.com", "v1alpha1"
ROOT = f"/apis/{GROUP}/{VERSION}"
VERBS = ["create", "delete", "deletecollection", "get", "list", "update", "watch"]
Document = dict[str, Any]


class Server:
    """Objects by namespace and name; `changed` wakes those who watch."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Document] = {}
        self.events: list[tuple[str, Document]] = []
        self.changed = asyncio.Event()

    def handle(self, request: Request) -> Response:
        path = request.path.rstrip("/")
        if path in ("/healthz", "/readyz"):
            return Response(200, b"ok", "text/plain")
        peer = request.peer_certificate
        if peer is None or peer.common_name != "front-proxy-client":
            return status(401, "Unauthorized", "only the front proxy may ask")
        if path == ROOT:
            entry = {
                "name": "flunders",
                "singularName": "flunder",
                "namespaced": True,
                "kind": "Flunder",
                "verbs": VERBS,
            }
            return answer({"kind": "APIResourceList", "groupVersion": f"{GROUP}/{VERSION}", "resources": [entry]})
        parts = path.removeprefix(ROOT).strip("/").split("/")
        if parts == ["flunders"]:
            return self.listed(request, "")
        if len(parts) == 3 and parts[0] == "namespaces" and parts[2] == "flunders":
            return self.collection(request, parts[1])
        if len(parts) == 4 and parts[2] == "flunders":
            return self.single(request, parts[1], parts[3])
        return status(404, "NotFound", "the server could not find the requested resource")

    def collection(self, request: Request, namespace: str) -> Response:
        if request.method == "POST":
            body = json.loads(request.body)
            meta = body.setdefault("metadata", {})
            if (namespace, meta["name"]) in self.objects:
                return status(409, "AlreadyExists", f'flunders.{GROUP} "{meta["name"]}" already exists')
            user = request.headers.get(b"x-remote-user").decode()
            meta |= {
                "namespace": namespace,
                "uid": str(uuid.uuid4()),
                "creationTimestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            }
            meta.setdefault("annotations", {})["wardle.example.com/creator"] = user
            return answer(self.keep("ADDED", namespace, body), 201)
        if request.method == "DELETE":
            for key in [key for key in self.objects if key[0] == namespace]:
                self.keep("DELETED", namespace, self.objects.pop(key), stored=False)
            return answer({"kind": "Status", "apiVersion": "v1", "status": "Success"})
        return self.listed(request, namespace)

    def single(self, request: Request, namespace: str, name: str) -> Response:
        found = self.objects.get((namespace, name))
        if found is None:
            return status(404, "NotFound", f'flunders.{GROUP} "{name}" not found')
        if request.method == "PUT":
            return answer(self.keep("MODIFIED", namespace, json.loads(request.body)))
        if request.method == "DELETE":
            del self.objects[namespace, name]
            self.keep("DELETED", namespace, found, stored=False)
            return answer({"kind": "Status", "apiVersion": "v1", "status": "Success"})
        return answer(found)

    def listed(self, request: Request, namespace: str) -> Response:
        if request.query.get("watch") in ("1", "true"):
            return StreamResponse(lambda writer: self.watch(writer, namespace))
        items = [obj for key, obj in self.objects.items() if namespace in ("", key[0])]
        version = str(len(self.events))
        head = {"kind": "FlunderList", "apiVersion": f"{GROUP}/{VERSION}", "metadata": {"resourceVersion": version}}
        return answer({**head, "items": items})

    async def watch(self, writer: StreamWriter, namespace: str) -> None:
        at = len(self.events)
        while True:
            for kind, obj in self.events[at:]:
                if namespace in ("", obj["metadata"]["namespace"]):
                    writer.write(json.dumps({"type": kind, "object": obj}).encode() + b"\n")
            at = len(self.events)
            await self.changed.wait()

    def keep(self, kind: str, namespace: str, obj: Document, *, stored: bool = True) -> Document:
        obj = {**obj, "kind": "Flunder", "apiVersion": f"{GROUP}/{VERSION}"}
        self.events.append((kind, obj))
        obj["metadata"]["resourceVersion"] = str(len(self.events))
        if stored:
            self.objects[namespace, obj["metadata"]["name"]] = obj
        self.changed.set()
        self.changed = asyncio.Event()
        return obj


def answer(document: Document, code: int = 200) -> Response:
    return Response(code, json.dumps(document).encode())


def status(code: int, reason: str, message: str) -> Response:
    head = {"kind": "Status", "apiVersion": "v1", "status": "Failure"}
    return answer({**head, "code": code, "reason": reason, "message": message}, code)


async def main() -> None:
    certificate, key = (FOLDER / name for name in ("tls.crt", "tls.key"))
    ca = (FOLDER / "front-proxy-ca.crt").read_bytes()
    tls = server_context(certificate.read_bytes(), key.read_bytes(), client_ca=ca)
    await HttpServer(Server().handle, tls=tls).start("0.0.0.0", 8443)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
