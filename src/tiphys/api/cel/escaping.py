"""Names of fields as identifiers of CEL: what an identifier may not hold is spelled out between double underscores."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_RESERVED: Final = frozenset(
    (
        *("true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if"),
        *("import", "let", "loop", "package", "namespace", "return", "var", "void", "while"),
    )
)
_SPELLED: Final = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_PART: Final = re.compile(r"__|[./-]")
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


@lru_cache(maxsize=4096)
def escape(name: str) -> str | None:
    """The identifier for a field, or None if it cannot be reached from expressions.

    ``a.b`` is ``a__dot__b``; ``namespace`` is ``__namespace__``.
    """
    if name in _RESERVED:
        return f"__{name}__"
    spelled = _PART.sub(lambda match: _SPELLED[match.group()], name)
    return spelled if _IDENTIFIER.match(spelled) else None
