"""What the POST-only resources share: one verb, a typed body, an answer that is not stored."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from tiphys.api import codec, errors
from tiphys.api.types.meta_v1 import Status
from tiphys.apiserver.negotiation import BARE
from tiphys.apiserver.registry.bodies import decode_body
from tiphys.apiserver.registry.endpoint import warning_headers
from tiphys.apiserver.registry.options import WriteOptions, write_options
from tiphys.apiserver.registry.representation import encoded
from tiphys.apiserver.routing import RequestInfo
from tiphys.base.http.messages import Request, Response

Act = Callable[[Any, Request, RequestInfo, WriteOptions], Awaitable[Any]]


class Posting:
    """Serves POST with a body of one kind: decodes it, lets `act` answer with an object or Status, encodes that."""

    def __init__(self, struct: type[Any], act: Act) -> None:
        self._struct = struct
        self._act = act
        empty = struct()
        self._kind, self._api_version = empty.kind, empty.api_version

    async def serve(self, request: Request, info: RequestInfo) -> Response:
        """Answer 201 with what `act` returns. Raises ApiError."""
        if info.verb != "create" or (info.name and not info.subresource):
            raise errors.method_not_allowed()
        representation = BARE.negotiate(request.headers.get(b"accept"))
        options = write_options(request, "CreateOptions")
        warnings: list[str] = []
        obj = decode_body(request, self._struct, self._api_version, self._kind, options.field_validation, warnings)
        answer = await self._act(obj, request, info, options)
        response = encoded(codec.encode(answer), representation, 201)
        response.headers += warning_headers(warnings)
        return response


def success() -> Status:
    """The Status of something that worked and has no object to show."""
    return Status(status="Success")
