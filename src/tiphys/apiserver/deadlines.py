"""How long a request may take: upstream's limit, or less if the query's ``timeout`` says so (a Go duration)."""

from __future__ import annotations

from typing import Final

from tiphys.api import errors
from tiphys.api.field_errors import quote
from tiphys.base.http.messages import Query

_UNITS_SECONDS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_REFUSED: Final = "invalid timeout specified in the request URL - time: "


def asked_seconds(query: Query, maximum_seconds: float) -> float:
    """The time limit of a request with this query. Raises ApiError 400 in upstream's words."""
    text = query.get("timeout")
    if not text:
        return maximum_seconds
    asked = _duration_seconds(text)
    return min(asked, maximum_seconds) if asked else maximum_seconds


def _duration_seconds(text: str) -> float:
    sign, rest = (-1, text[1:]) if text[0] == "-" else (1, text.removeprefix("+"))
    if rest == "0":
        return 0.0
    total = 0.0
    if not rest:
        raise errors.bad_request(f"{_REFUSED}invalid duration {quote(text)}")
    while rest:
        number = _leading(rest, "0123456789.")
        unit = ""
        for character in rest[len(number) :]:
            if character in "0123456789.":
                break
            unit += character
        if not number or number == "." or number.count(".") > 1:
            raise errors.bad_request(f"{_REFUSED}invalid duration {quote(text)}")
        if not unit:
            raise errors.bad_request(f"{_REFUSED}missing unit in duration {quote(text)}")
        if unit not in _UNITS_SECONDS:
            raise errors.bad_request(f"{_REFUSED}unknown unit {quote(unit)} in duration {quote(text)}")
        total += float(number) * _UNITS_SECONDS[unit]
        rest = rest[len(number) + len(unit) :]
    return sign * total


def _leading(text: str, characters: str) -> str:
    return text[: len(text) - len(text.lstrip(characters))]
