"""From a request to its answer: who asks, may they, what for; errors become Status objects, answers get an audit id."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import perf_counter
from typing import Any, Final, Protocol

import msgspec

from tiphys.api import codec, errors
from tiphys.apiserver import deadlines
from tiphys.apiserver.dressing import dress
from tiphys.apiserver.flow_control.controller import Classified, FlowControl, Rejected
from tiphys.apiserver.health import NOSNIFF
from tiphys.apiserver.routing import RequestInfo, Router
from tiphys.apiserver.statistics import RequestStatistics
from tiphys.base.chance import CHANCE
from tiphys.base.http.messages import CLOSE, BadRequest, HeaderList, Query, Request, Response
from tiphys.base.logging import get_logger

_logger = get_logger(__name__)
_LONG_RUNNING: Final = frozenset({"log", "exec", "attach", "portforward", "proxy"})
_HEALTH_PATHS: Final = ("/healthz", "/livez", "/readyz")
_TOO_MANY: Final = "Too many requests, please try again later."
_NO_HEADERS: Final[HeaderList] = ()

Answer = Response | Awaitable[Response]


class Authenticate(Protocol):
    """Who makes a request. Raises ApiError 401, at once or when awaited."""

    def __call__(self, request: Request) -> Any: ...


class Authorize(Protocol):
    """Whether they may. Raises ApiError 403."""

    def __call__(self, user: Any, info: RequestInfo, query: Query | None = None) -> None: ...


class Handling:
    """The handler given to HTTP. Reads that need no waiting are answered without a task, and take no seat.

    `refusing`: nothing but health is answered any more.
    """

    def __init__(
        self,
        router: Router,
        serve: Callable[[Request, RequestInfo], Answer],
        serve_path: Callable[[Request, RequestInfo], Answer],
        authenticate: Authenticate,
        authorize: Authorize,
        flow_control: FlowControl,
        timeout_seconds: float,
        statistics: RequestStatistics,
    ) -> None:
        self._router = router
        self._serve = serve
        self._serve_path = serve_path
        self._authenticate = authenticate
        self._authorize = authorize
        self._flow_control = flow_control
        self._timeout_seconds = timeout_seconds
        self._statistics = statistics
        self._audit_ids = AuditIds()
        self.refusing = False
        self._idle = asyncio.Event()

    async def drain(self, seconds: float) -> None:
        """Refuse what comes from now on; return when what is under way is answered, or after `seconds`."""
        self.refusing = True
        self._idle.clear()
        if any(self._statistics.inflight):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), seconds)

    def __call__(self, request: Request) -> Answer:
        """Answer one request; never raises."""
        began = perf_counter()
        if self.refusing and not request.path.startswith(_HEALTH_PATHS):
            return _closing()
        info: RequestInfo | None = None
        flow: Classified | None = None
        try:
            query = request.query
            info = self._router.parse(request.method, request.path, query.get("watch") if query.raw else "")
            request.attributes = info
            user = self._authenticate(request)
            if inspect.isawaitable(user):
                return self._later(request, info, user, began)
            flow = self._flow_control.classify(user, info)
            answer = self._admitted(request, info, user)
        except Exception as error:
            return self._finish(request, info, _failure(error, request), began, flow)
        if isinstance(answer, Response):
            return self._finish(request, info, answer, began, flow)
        return self._waited(request, info, answer, began, flow)

    def admit(self, request: Request) -> Response | Awaitable[Response | None] | None:
        """Whether the body of a request is worth reading: None, or what its sender is told. Never raises.

        What is admitted is asked who and whether once more when it is whole.
        """
        began = perf_counter()
        if self.refusing and not request.path.startswith(_HEALTH_PATHS):
            return _closing()
        info: RequestInfo | None = None
        flow: Classified | None = None
        try:
            info = self._router.parse(request.method, request.path, "")
            request.attributes = info
            user = self._authenticate(request)
            if inspect.isawaitable(user):
                return self._admit_later(request, info, user, began)
            flow = self._flow_control.classify(user, info)
            self._authorize(user, info, request.query)
        except Exception as error:
            return self._finish(request, info, _failure(error, request), began, flow)
        return None

    async def _admit_later(
        self, request: Request, info: RequestInfo, user: Awaitable[Any], began: float
    ) -> Response | None:
        flow: Classified | None = None
        try:
            known = await user
            flow = self._flow_control.classify(known, info)
            self._authorize(known, info, request.query)
        except Exception as error:
            return self._finish(request, info, _failure(error, request), began, flow)
        return None

    def _admitted(self, request: Request, info: RequestInfo, user: Any) -> Answer:
        request.user = user
        self._authorize(user, info, request.query)
        if b"timeout=" in request.query.raw:
            deadlines.asked_seconds(request.query, self._timeout_seconds)
        if info.resource:
            return self._serve(request, info)
        return self._serve_path(request, info)

    async def _later(self, request: Request, info: RequestInfo, user: Awaitable[Any], began: float) -> Response:
        flow: Classified | None = None
        try:
            known = await user
            flow = self._flow_control.classify(known, info)
            answer = self._admitted(request, info, known)
        except Exception as error:
            return self._finish(request, info, _failure(error, request), began, flow)
        if isinstance(answer, Response):
            return self._finish(request, info, answer, began, flow)
        return await self._waited(request, info, answer, began, flow)

    async def _waited(
        self, request: Request, info: RequestInfo, answer: Awaitable[Response], began: float, flow: Classified
    ) -> Response:
        """Await an answer with a seat and within the timeout; long-running requests need neither."""
        if info.subresource in _LONG_RUNNING or info.verb == "watch":
            return await self._unlimited(request, info, answer, began, flow)
        control = self._flow_control
        try:
            if (place := control.take(flow)) is not None:
                await control.wait(flow, place)
        except BaseException as error:
            if inspect.iscoroutine(answer):
                answer.close()
            if not isinstance(error, Rejected):
                raise
            refused = error_response(errors.too_many_requests(_TOO_MANY, 1), request)
            return self._finish(request, info, refused, began, flow)
        statistics, mutating = self._statistics, info.mutating
        statistics.inflight[mutating] += 1
        try:
            async with asyncio.timeout(deadlines.asked_seconds(request.query, self._timeout_seconds)):
                response = await answer
        except TimeoutError:
            response = error_response(errors.timeout("request did not complete within the allotted timeout"), request)
        except Exception as error:
            response = _failure(error, request)
        finally:
            control.give_back(flow)
            statistics.inflight[mutating] -= 1
            if self.refusing and not any(statistics.inflight):
                self._idle.set()
        return self._finish(request, info, response, began, flow)

    async def _unlimited(
        self, request: Request, info: RequestInfo, answer: Awaitable[Response], began: float, flow: Classified
    ) -> Response:
        try:
            response = await answer
        except Exception as error:
            response = _failure(error, request)
        return self._finish(request, info, response, began, flow)

    def _finish(
        self,
        request: Request,
        info: RequestInfo | None,
        response: Response,
        began: float,
        flow: Classified | None = None,
    ) -> Response:
        audit_id = request.headers.get(b"audit-id")
        audit = (b"Audit-Id", audit_id[:64] if audit_id else self._audit_ids.next())
        response.headers += (audit,) if flow is None else (audit, *flow.headers)
        dress(request, response, info)
        if flow is not None:
            flow.timed.observe(response.status, perf_counter() - began)
        elif info is not None:
            self._statistics.timed(info).observe(response.status, perf_counter() - began)
        return response


def _closing() -> Response:
    """What upstream answers while it ends and was told to say so (``--shutdown-send-retry-after``)."""
    return Response(
        429,
        b"The apiserver is shutting down, please try again later.\n",
        "text/plain; charset=utf-8",
        (CLOSE, (b"Retry-After", b"5"), *NOSNIFF),
    )


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
    if isinstance(error, BadRequest):
        return error_response(errors.bad_request(str(error)), request)
    _logger.exception("request failed", method=request.method, path=request.path)
    return error_response(errors.internal(str(error) or type(error).__name__), request)


class AuditIds:
    """Ids for requests that bring none. UUIDs in form: unique for their random beginning and a count at the end."""

    __slots__ = ("_left", "_prefix")

    def __init__(self) -> None:
        self._left = 0
        self._prefix = b""

    def next(self) -> bytes:
        """One that was not given before."""
        if not self._left:
            text = f"{CHANCE.getrandbits(92):023x}"
            self._prefix = f"{text[:8]}-{text[8:12]}-4{text[12:15]}-a{text[15:18]}-{text[18:23]}".encode()
            self._left = 1 << 28
        self._left -= 1
        return b"%b%07x" % (self._prefix, self._left)
