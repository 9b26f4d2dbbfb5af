"""What containerd calls an image, and its contents: beyond CRI, which tells neither manifests nor layers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # as in client.py, for whoever imports this first

import grpc
import grpc.aio

from tiphys.cri.containerd_messages import INT64, NAMESPACE_HEADER, STRING, message_classes

GET_METHOD = "/containerd.services.images.v1.Images/Get"
TIMEOUT_SECONDS = 10.0
_CLASSES: dict[str, Any] = message_classes(
    "images",
    {
        "Descriptor": (("media_type", 1, STRING), ("digest", 2, STRING), ("size", 3, INT64)),
        "Image": (("name", 1, STRING), ("target", 3, "Descriptor")),
        "GetImageRequest": (("name", 1, STRING),),
        "GetImageResponse": (("image", 1, "Image"),),
    },
)


class Content(NamedTuple):
    """A piece of content by its digest (``sha256:…``)."""

    media_type: str
    digest: str
    size_bytes: int


class ContainerdImages:
    """Images of the runtime's CRI namespace, by their full names."""

    def __init__(self, socket: Path) -> None:
        self._channel = grpc.aio.insecure_channel(
            f"unix://{socket}", options=[("grpc.default_authority", "localhost"), ("grpc.enable_http_proxy", 0)]
        )
        self._get = self._channel.unary_unary(
            GET_METHOD,
            request_serializer=lambda request: request.SerializeToString(),
            response_deserializer=_CLASSES["GetImageResponse"].FromString,
        )

    async def find(self, name: str) -> Content | None:
        """The manifest or index that the name stands for; None when it is unknown or containerd does not answer."""
        request = _CLASSES["GetImageRequest"](name=name)
        try:
            answer: Any = await self._get(request, metadata=(NAMESPACE_HEADER,), timeout=TIMEOUT_SECONDS)
        except grpc.aio.AioRpcError:
            return None
        target = answer.image.target
        return Content(target.media_type, target.digest, target.size)

    async def close(self) -> None:
        await self._channel.close(grace=None)
