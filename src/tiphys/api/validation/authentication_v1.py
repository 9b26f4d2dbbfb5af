"""Checks of token requests."""

from __future__ import annotations

from typing import Any, Final

from tiphys.api.field_errors import FieldError, invalid
from tiphys.api.types.authentication_v1 import TokenRequest

MINIMUM_SECONDS: Final = 600
MAXIMUM_SECONDS: Final = 1 << 32


def _token_request(obj: TokenRequest) -> list[FieldError]:
    seconds = obj.spec.expiration_seconds
    path = "spec.expirationSeconds"
    if seconds is None:
        return []
    if seconds < MINIMUM_SECONDS:
        return [invalid(path, seconds, "may not specify a duration less than 10 minutes")]
    if seconds > MAXIMUM_SECONDS:
        return [invalid(path, seconds, "may not specify a duration larger than 2^32 seconds")]
    return []


CREATE: Final[dict[type, Any]] = {TokenRequest: _token_request}
