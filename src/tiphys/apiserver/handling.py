"""From a request to its answer: who asks, may they, what for; errors become Status objects, answers get an audit id."""

from __future__ import annotations

import asyncio
import inspect
import random
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import msgspec

from tiphys.api import codec, errors
from tiphys.apiserver.dressing import dress
from tiphys.apiserver.routing import RequestInfo, Router
from tiphys.base.http.messages import HeaderList, Query, Request, Response
from tiphys.base.logging import get_logger

_logger = get_logger(__name__)
_LONG_RUNNING: Final = frozenset({"log", "exec", "attach", "portforward", "proxy"})
_TOO_MANY: Final = "Too many requests, please try again later."
_NO_HEADERS: Final[HeaderList] = ()

Answer = Response | Awaitable[Response]


class Authenticate(Protocol):
    """Who makes a request. Raises ApiError 401, at once or when awaited."""

    def __call__(self, request: Request) -> Any: ...


class Authorize(Protocol):
    """Whether they may. Raises ApiError 403."""

    def __call__(self, user: Any, info: RequestInfo, query: Query | None = None) -> None: ...


class Limits:
    """How many requests may be under way; long-running ones do not count."""

    __slots__ = ("maximum", "maximum_mutating", "mutating", "reading")

    def __init__(self, maximum: int, maximum_mutating: int) -> None:
        self.maximum = maximum
        self.maximum_mutating = maximum_mutating
        self.reading = 0
        self.mutating = 0


class Handling:
    """The handler given to HTTP. Reads that need no waiting are answered without a task."""

    def __init__(
        self,
        router: Router,
        serve: Callable[[Request, RequestInfo], Answer],
        serve_path: Callable[[Request, RequestInfo], Answer],
        authenticate: Authenticate,
        authorize: Authorize,
        limits: Limits,
        timeout_seconds: float,
        observe: Callable[[RequestInfo | None, int], None],
    ) -> None:
        self._router = router
        self._serve = serve
        self._serve_path = serve_path
        self._authenticate = authenticate
        self._authorize = authorize
        self._limits = limits
        self._timeout_seconds = timeout_seconds
        self._observe = observe

    def __call__(self, request: Request) -> Answer:
        """Answer one request; never raises."""
        info: RequestInfo | None = None
        try:
            query = request.query
            info = self._router.parse(request.method, request.path, query.get("watch") if query.raw else "")
            request.attributes = info
            user = self._authenticate(request)
            if inspect.isawaitable(user):
                return self._later(request, info, user)
            answer = self._admitted(request, info, user)
        except Exception as error:
            return self._finish(request, info, _failure(error, request))
        if isinstance(answer, Response):
            return self._finish(request, info, answer)
        return self._waited(request, info, answer)

    def _admitted(self, request: Request, info: RequestInfo, user: Any) -> Answer:
        request.user = user
        self._authorize(user, info, request.query)
        if info.resource:
            return self._serve(request, info)
        return self._serve_path(request, info)

    async def _later(self, request: Request, info: RequestInfo, user: Awaitable[Any]) -> Response:
        try:
            answer = self._admitted(request, info, await user)
        except Exception as error:
            return self._finish(request, info, _failure(error, request))
        if isinstance(answer, Response):
            return self._finish(request, info, answer)
        return await self._waited(request, info, answer)

    async def _waited(self, request: Request, info: RequestInfo, answer: Awaitable[Response]) -> Response:
        """Await an answer within the limits and the timeout."""
        limits, mutating = self._limits, info.mutating
        if info.subresource in _LONG_RUNNING or info.verb == "watch":
            return await self._unlimited(request, info, answer)
        if (limits.mutating >= limits.maximum_mutating) if mutating else (limits.reading >= limits.maximum):
            if inspect.iscoroutine(answer):
                answer.close()
            return self._finish(request, info, error_response(errors.too_many_requests(_TOO_MANY, 1), request))
        if mutating:
            limits.mutating += 1
        else:
            limits.reading += 1
        try:
            async with asyncio.timeout(self._timeout_seconds):
                response = await answer
        except TimeoutError:
            response = error_response(errors.timeout("request did not complete within the allotted timeout"), request)
        except Exception as error:
            response = _failure(error, request)
        finally:
            if mutating:
                limits.mutating -= 1
            else:
                limits.reading -= 1
        return self._finish(request, info, response)

    async def _unlimited(self, request: Request, info: RequestInfo, answer: Awaitable[Response]) -> Response:
        try:
            response = await answer
        except Exception as error:
            response = _failure(error, request)
        return self._finish(request, info, response)

    def _finish(self, request: Request, info: RequestInfo | None, response: Response) -> Response:
        response.headers += ((b"Audit-Id", _audit_id(request)),)
        dress(request, response, info)
        self._observe(info, response.status)
        return response


def error_response(error: errors.ApiError, request: Request | None) -> Response:
    """The Status an error is, with the headers that go with it."""
    headers: HeaderList = getattr(error, "warnings", _NO_HEADERS)
    retry = error.retry_after_seconds
    if retry and error.code in (429, 503, 504, 500):
        headers += ((b"Retry-After", str(retry).encode()),)
    return Response(error.code, codec.encode(error.status), headers=headers)


def _failure(error: Exception, request: Request) -> Response:
    if isinstance(error, errors.ApiError):
        return error_response(error, request)
    if isinstance(error, RecursionError):
        return error_response(errors.bad_request("the body of the request nests too deep"), request)
    if isinstance(error, msgspec.DecodeError) and request.body:
        # JSON that no two readers agree on: a lone surrogate, a number beyond any type.
        return error_response(errors.bad_request(f"the body of the request is malformed: {error}"), request)
    _logger.exception("request failed", method=request.method, path=request.path)
    return error_response(errors.internal(str(error) or type(error).__name__), request)


def _audit_id(request: Request) -> bytes:
    given = request.headers.get(b"audit-id")
    if given:
        return given[:64]
    text = f"{random.getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}".encode()
