"""Named formats of texts; what `validate` finds wrong is an optional list of sentences."""

from __future__ import annotations

import base64
import binascii
import datetime
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from tiphys.api import names
from tiphys.api.cel.libraries.function import Function
from tiphys.api.cel.libraries.messages import make
from tiphys.api.cel.libraries.network import is_url
from tiphys.api.cel.type_names import FORMAT

_UUID: Final = re.compile(r"(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}\Z")
_DATE_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:[Zz]|[+-]\d{2}:\d{2})\Z", re.ASCII)
_Check = Callable[[str], Sequence[str]]


def _prefix(check: _Check) -> _Check:
    return lambda text: check(names.as_prefix(text))


def _that(holds: Callable[[str], bool], message: str) -> _Check:
    return lambda text: () if holds(text) else (message,)


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _is_date(text: str) -> bool:
    try:
        return len(text) == 10 and bool(datetime.date.fromisoformat(text))
    except ValueError:
        return False


def _is_date_time(text: str) -> bool:
    return bool(_DATE_TIME.match(text)) and _is_date(text[:10])


_FORMATS: Final[dict[str, _Check]] = {
    "dns1123Label": names.dns_label,
    "dns1123Subdomain": names.dns_subdomain,
    "dns1035Label": names.dns_1035_label,
    "qualifiedName": names.qualified_name,
    "dns1123LabelPrefix": _prefix(names.dns_label),
    "dns1123SubdomainPrefix": _prefix(names.dns_subdomain),
    "dns1035LabelPrefix": _prefix(names.dns_1035_label),
    "labelValue": names.label_value,
    "uri": lambda text: () if is_url(text) else (f'parse "{text}": invalid URI for request',),
    "uuid": _that(lambda text: bool(_UUID.match(text)), "does not match the UUID format"),
    "byte": _that(_is_base64, "invalid base64"),
    "date": _that(_is_date, "invalid date"),
    "datetime": _that(_is_date_time, "invalid datetime"),
}


def _constant(name: str) -> Callable[[], Any]:
    return lambda: make(FORMAT, name)


def _validate(known: Any, text: str) -> list[list[str]]:
    messages = list(_FORMATS[known.text](text))
    return [messages] if messages else []


FUNCTIONS: Final = (
    *(Function(f"format.{name}", f"format.{name}", (), FORMAT, _constant(name), is_member=False) for name in _FORMATS),
    Function(
        *("validate", "format-validate", (FORMAT, "string"), "optional(list(string))"),
        _validate,
        wraps=True,
    ),
    Function(
        *("format.named", "format-named", ("string",), f"optional({FORMAT})"),
        lambda name: [make(FORMAT, name)] if name in _FORMATS else [],
        is_member=False,
        wraps=True,
    ),
)
