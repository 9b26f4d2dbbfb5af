"""Refusals: every error the API answers with, as a Status in upstream's words.

Server and client share them: the server raises and renders, the client parses (`ApiError.from_body`) and raises again.
`resource` arguments are qualified (``pods``, ``deployments.apps``), `kind` arguments likewise (``Deployment.apps``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from tiphys.api.field_errors import FieldError, aggregate, quote
from tiphys.api.types.meta_v1 import Status, StatusCause, StatusDetails

_DECODER: Final = msgspec.json.Decoder(Status)
_MODIFIED: Final = "the object has been modified; please apply your changes to the latest version and try again"
_REASON_OF_CODE: Final = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    406: "NotAcceptable",
    409: "Conflict",
    410: "Gone",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


class ApiError(Exception):
    """A request the API refuses, or could not serve. `status` is the whole answer's body."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.message)
        self.status = status

    @property
    def code(self) -> int:
        """The HTTP status code."""
        return self.status.code or 500

    @property
    def reason(self) -> str:
        """Upstream's reason, such as ``NotFound``; empty for errors without one."""
        return self.status.reason or ""

    @property
    def message(self) -> str:
        """What went wrong, for people."""
        return self.status.message or ""

    @property
    def retry_after_seconds(self) -> int | None:
        """How long a client should wait before it tries again, if the server said."""
        return self.status.details.retry_after_seconds if self.status.details else None

    @classmethod
    def from_body(cls, code: int, body: bytes) -> ApiError:
        """The error in an answer; a body that is no Status becomes the message."""
        try:
            status = _DECODER.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return _make(code, _REASON_OF_CODE.get(code, ""), body.decode(errors="replace").strip()[:2048])
        if status.kind != "Status":
            return _make(code, _REASON_OF_CODE.get(code, ""), f"the server answered {code} with a {status.kind}")
        return cls(status if status.code else msgspec.structs.replace(status, code=code))


def not_found(resource: str, name: str) -> ApiError:
    """404: no such object."""
    return _make(404, "NotFound", f"{resource} {quote(name)} not found", _details(resource, name))


def route_not_found() -> ApiError:
    """404: no such resource or path in the API."""
    return _make(404, "NotFound", "the server could not find the requested resource", StatusDetails())


def already_exists(resource: str, name: str) -> ApiError:
    """409: the name is taken."""
    return _make(409, "AlreadyExists", f"{resource} {quote(name)} already exists", _details(resource, name))


def generate_name_conflict(resource: str, name: str) -> ApiError:
    """409: every generated name that was tried is taken."""
    text = "already exists, the server was not able to generate a unique name for the object"
    return _make(409, "AlreadyExists", f"{resource} {quote(name)} {text}", _details(resource, name))


def conflict(resource: str, name: str, message: str = _MODIFIED) -> ApiError:
    """409: the object is not the one the client has seen."""
    text = f"Operation cannot be fulfilled on {resource} {quote(name)}: {message}"
    return _make(409, "Conflict", text, _details(resource, name))


def apply_conflict(message: str, causes: Sequence[StatusCause]) -> ApiError:
    """409: server-side apply would take fields from their managers."""
    return _make(409, "Conflict", message, StatusDetails(causes=tuple(causes)))


def invalid(kind: str, name: str, errors: Sequence[FieldError]) -> ApiError:
    """422: what is wrong with the object, each error a cause with its field path."""
    causes = tuple(StatusCause(reason=e.reason, message=e.message, field=e.field) for e in errors)
    message = f"{kind} {quote(name)} is invalid"
    if errors:
        message = f"{message}: {aggregate(errors)}"
    return _make(422, "Invalid", message, _details(kind, name, causes))


def bad_request(message: str) -> ApiError:
    """400: the request makes no sense."""
    return _make(400, "BadRequest", message)


def unauthorized(message: str = "Unauthorized") -> ApiError:
    """401: who is asking is not known."""
    return _make(401, "Unauthorized", message)


def forbidden(resource: str, name: str, message: str) -> ApiError:
    """403: not allowed, by authorization or by admission; `resource` is empty for other paths."""
    if resource and name:
        text = f"{resource} {quote(name)} is forbidden: {message}"
    else:
        text = f"{resource} is forbidden: {message}" if resource else f"forbidden: {message}"
    return _make(403, "Forbidden", text, _details(resource, name))


def method_not_allowed() -> ApiError:
    """405: the path exists and the HTTP method does not fit it."""
    return _make(
        405, "MethodNotAllowed", "the server does not allow this method on the requested resource", StatusDetails()
    )


def method_not_supported(resource: str, action: str) -> ApiError:
    """405: the resource does not have that verb."""
    text = f"{action} is not supported on resources of kind {quote(resource)}"
    return _make(405, "MethodNotAllowed", text, _details(resource, ""))


def not_acceptable(message: str) -> ApiError:
    """406: no representation the client accepts."""
    return _make(406, "NotAcceptable", message)


def unsupported_media_type(accepted: Sequence[str]) -> ApiError:
    """415: the body's content type is not one of `accepted`."""
    listed = ", ".join(accepted)
    text = f"the body of the request was in an unknown format - accepted media types include: {listed}"
    return _make(415, "UnsupportedMediaType", text)


def request_entity_too_large(message: str) -> ApiError:
    """413: the body is over the limit."""
    return _make(413, "RequestEntityTooLarge", f"Request entity too large: {message}")


def gone(message: str) -> ApiError:
    """410: what was asked for will not come back."""
    return _make(410, "Gone", message)


def expired(message: str) -> ApiError:
    """410: the resourceVersion or continue token is older than what is kept; list again."""
    return _make(410, "Expired", message)


def too_many_requests(message: str, retry_after_seconds: int, causes: Sequence[StatusCause] = ()) -> ApiError:
    """429: later, perhaps."""
    details = StatusDetails(retry_after_seconds=retry_after_seconds or None, causes=tuple(causes))
    return _make(429, "TooManyRequests", message, details)


def timeout(message: str, retry_after_seconds: int = 0, causes: Sequence[StatusCause] = ()) -> ApiError:
    """504: it took too long; whether it happened is not known."""
    details = StatusDetails(retry_after_seconds=retry_after_seconds or None, causes=tuple(causes))
    return _make(504, "Timeout", f"Timeout: {message}", details)


def too_large_resource_version(asked: int, current: int, retry_after_seconds: int = 1) -> ApiError:
    """504: a resourceVersion the server has not reached."""
    cause = StatusCause(reason="ResourceVersionTooLarge", message="Too large resource version")
    return timeout(f"Too large resource version: {asked}, current: {current}", retry_after_seconds, (cause,))


def server_timeout(resource: str, operation: str, retry_after_seconds: int = 0) -> ApiError:
    """500: nothing happened; try again."""
    text = f"The {operation} operation against {resource} could not be completed at this time, please try again."
    details = msgspec.structs.replace(_details(resource, operation), retry_after_seconds=retry_after_seconds or None)
    return _make(500, "ServerTimeout", text, details)


def service_unavailable(message: str) -> ApiError:
    """503: not now."""
    return _make(503, "ServiceUnavailable", message)


def internal(message: str) -> ApiError:
    """500: a failure of the server."""
    details = StatusDetails(causes=(StatusCause(message=message),))
    return _make(500, "InternalError", f"Internal error occurred: {message}", details)


def unclassified(message: str) -> ApiError:
    """500 without a reason: what upstream answers when a plain error reaches its writer."""
    return _make(500, "", message)


def from_dict(status: dict[str, Any]) -> ApiError:
    """The error a Status object describes, for example in a watch's ERROR event."""
    return ApiError(msgspec.convert(status, Status))


def _make(code: int, reason: str, message: str, details: StatusDetails | None = None) -> ApiError:
    return ApiError(Status(status="Failure", code=code, reason=reason or None, message=message, details=details))


def _details(qualified: str, name: str, causes: tuple[StatusCause, ...] = ()) -> StatusDetails:
    what, _, group = qualified.partition(".")
    return StatusDetails(kind=what or None, group=group or None, name=name or None, causes=causes)
