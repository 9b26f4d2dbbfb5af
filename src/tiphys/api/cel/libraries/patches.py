"""What expressions that make JSON patches need: keys as parts of JSON pointers."""

from __future__ import annotations

from typing import Final

from tiphys.api.cel.libraries.function import Function

FUNCTIONS: Final = (
    Function(
        *("jsonpatch.escapeKey", "string_jsonpatch_escapeKey_string", ("string",), "string"),
        lambda key: key.replace("~", "~0").replace("/", "~1"),
        is_member=False,
    ),
)
