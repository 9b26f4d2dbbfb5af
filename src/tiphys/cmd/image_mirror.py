"""A read-only registry on loopback over the images the node already has, asked after Docker Hub and never before it.

``image: nginx`` means ``imagePullPolicy: Always``. On a host without network such a pod could not start although its
image was loaded; with the mirror behind the real registry it can, and a host with network notices nothing.
"""

from __future__ import annotations

import asyncio
import json
import re

from tiphys.base.http.messages import Request, Response
from tiphys.base.http.server import HttpServer
from tiphys.cmd.containerd_config import ContainerdPaths
from tiphys.cri.containerd_images import ContainerdImages

MIRRORED = "docker.io"
UPSTREAM = "https://registry-1.docker.io"
MAX_MANIFEST_BYTES = 4 * 1024 * 1024
_TARGET = re.compile(r"/v2/(?P<name>[a-z0-9][a-z0-9._/-]*)/(?P<kind>manifests|blobs)/(?P<reference>[A-Za-z0-9_.:-]+)")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def hosts_toml(port: int) -> str:
    """containerd's configuration for the mirrored registry: hosts are asked in this order."""
    return f"""\
server = "{UPSTREAM}"

[host."{UPSTREAM}"]
  capabilities = ["pull", "resolve"]

[host."http://127.0.0.1:{port}"]
  capabilities = ["pull", "resolve"]
"""


class ImageMirror:
    """Serves from ``start`` to ``close``. Every answer is checked by who asked, against its digest."""

    def __init__(self, paths: ContainerdPaths) -> None:
        self._paths = paths
        self._blobs = paths.root / "io.containerd.content.v1.content" / "blobs" / "sha256"
        self._images = ContainerdImages(paths.socket)
        self._server: HttpServer | None = None

    async def start(self) -> int:
        """Listen on a free port of loopback and tell containerd; returns the port."""
        self._server = HttpServer(self.answer)
        port = await self._server.start("127.0.0.1", 0)
        await asyncio.to_thread(self._configure, port)
        return port

    async def close(self) -> None:
        if self._server is not None:
            await self._server.close(grace_seconds=0)
        await self._images.close()

    def _configure(self, port: int) -> None:
        folder = self._paths.registry_dir / MIRRORED
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / "hosts.toml.partial"
        partial.write_text(hosts_toml(port))
        partial.replace(folder / "hosts.toml")

    async def answer(self, request: Request) -> Response:
        """The part of the distribution protocol that a pull needs."""
        if request.method not in ("GET", "HEAD"):
            return _error(405, "UNSUPPORTED")
        if request.path in ("/v2", "/v2/"):
            return Response(200, b"{}")
        matched = _TARGET.fullmatch(request.path)
        if matched is None:
            return _error(404, "NAME_UNKNOWN")
        reference = matched["reference"]
        if matched["kind"] == "blobs":
            return await self._blob(reference, "application/octet-stream")
        if _DIGEST.fullmatch(reference):
            return await self._blob(reference, "")
        found = await self._images.find(f"{MIRRORED}/{matched['name']}:{reference}")
        if found is None:
            return _error(404, "MANIFEST_UNKNOWN")
        return await self._blob(found.digest, found.media_type)

    async def _blob(self, digest: str, media_type: str) -> Response:
        """``media_type`` "" is read from the content, which is a manifest then."""
        path = self._blobs / digest.removeprefix("sha256:")
        if not _DIGEST.fullmatch(digest):
            return _error(404, "BLOB_UNKNOWN")
        try:
            data = await asyncio.to_thread(path.read_bytes)
        except OSError:
            return _error(404, "BLOB_UNKNOWN")
        if not media_type:
            if len(data) > MAX_MANIFEST_BYTES:
                return _error(404, "MANIFEST_UNKNOWN")
            media_type = json.loads(data).get("mediaType", "application/vnd.oci.image.manifest.v1+json")
        return Response(200, data, media_type, ((b"docker-content-digest", digest.encode()),))


def _error(status: int, code: str) -> Response:
    return Response(status, json.dumps({"errors": [{"code": code, "message": code.lower()}]}).encode())
