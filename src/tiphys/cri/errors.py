"""What a container runtime call can fail with."""

from __future__ import annotations

from enum import StrEnum


class CriCode(StrEnum):
    """gRPC status codes by their upstream names; the ones a kubelet decides on are spelled out."""

    NOT_FOUND = "NotFound"
    ALREADY_EXISTS = "AlreadyExists"
    INVALID_ARGUMENT = "InvalidArgument"
    FAILED_PRECONDITION = "FailedPrecondition"
    PERMISSION_DENIED = "PermissionDenied"
    UNAUTHENTICATED = "Unauthenticated"
    RESOURCE_EXHAUSTED = "ResourceExhausted"
    UNIMPLEMENTED = "Unimplemented"
    UNAVAILABLE = "Unavailable"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    CANCELLED = "Canceled"
    INTERNAL = "Internal"
    UNKNOWN = "Unknown"


class CriError(Exception):
    """A runtime call failed.

    ``code`` says which kind of failure, ``message`` is the runtime's own text, unwrapped. ``str()`` reads as
    upstream prints gRPC errors, because users see it in events: ``rpc error: code = NotFound desc = …``.
    """

    def __init__(self, code: CriCode, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"rpc error: code = {self.code.value} desc = {self.message}"

    @property
    def not_found(self) -> bool:
        return self.code is CriCode.NOT_FOUND
