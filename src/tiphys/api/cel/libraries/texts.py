"""Regular expressions in texts: RE2's, linear in the text whatever the expression."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import re2

from tiphys.api.cel.libraries.function import Function

_OPTIONS: Final = re2.Options()
_OPTIONS.log_errors = False


@lru_cache(maxsize=256)
def compiled(pattern: str) -> Any:
    """The expression, ready. Raises ValueError for a malformed one."""
    try:
        return re2.compile(pattern, _OPTIONS)
    except re2.error as error:
        text = error.args[0]
        detail = text.decode() if isinstance(text, bytes) else str(text)
        raise ValueError(f"Illegal regex: error parsing regexp: {detail}: `{pattern}`") from None


def _find(text: str, pattern: str) -> str:
    found = compiled(pattern).search(text)
    return str(found.group()) if found else ""


def _find_all(text: str, pattern: str, most: int = -1) -> list[str]:
    made: list[str] = []
    for found in compiled(pattern).finditer(text):
        if 0 <= most <= len(made):
            break
        made.append(found.group())
    return made


FUNCTIONS: Final = (
    Function("find", "string_find_string", ("string", "string"), "string", _find),
    Function("findAll", "string_find_all_string", ("string", "string"), "list(string)", _find_all),
    Function("findAll", "string_find_all_string_int", ("string", "string", "int"), "list(string)", _find_all),
)
