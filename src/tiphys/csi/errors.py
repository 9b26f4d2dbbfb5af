"""What a call to a CSI driver can fail with."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class CsiCode(StrEnum):
    """gRPC status codes by upstream's names."""

    CANCELLED = "Canceled"
    UNKNOWN = "Unknown"
    INVALID_ARGUMENT = "InvalidArgument"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    NOT_FOUND = "NotFound"
    ALREADY_EXISTS = "AlreadyExists"
    PERMISSION_DENIED = "PermissionDenied"
    RESOURCE_EXHAUSTED = "ResourceExhausted"
    FAILED_PRECONDITION = "FailedPrecondition"
    ABORTED = "Aborted"
    OUT_OF_RANGE = "OutOfRange"
    UNIMPLEMENTED = "Unimplemented"
    INTERNAL = "Internal"
    UNAVAILABLE = "Unavailable"
    UNAUTHENTICATED = "Unauthenticated"


_UNCERTAIN: Final = frozenset(
    {
        CsiCode.CANCELLED,
        CsiCode.DEADLINE_EXCEEDED,
        CsiCode.UNAVAILABLE,
        CsiCode.RESOURCE_EXHAUSTED,
        CsiCode.ABORTED,
    }
)


class CsiError(Exception):
    """A driver refused or did not answer. ``str()`` reads as upstream prints gRPC errors."""

    def __init__(self, code: CsiCode, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"rpc error: code = {self.code.value} desc = {self.message}"

    @property
    def final(self) -> bool:
        """Whether nothing is being done any more: other errors leave open whether the driver still works at it."""
        return self.code not in _UNCERTAIN
