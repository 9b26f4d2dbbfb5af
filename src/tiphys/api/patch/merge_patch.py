"""JSON merge patch (RFC 7386)."""

from __future__ import annotations

from typing import Any

from tiphys.api import errors
from tiphys.api.patch.go_text import type_name


def merge_patch(document: dict[str, Any], patch: Any) -> dict[str, Any]:
    """`document` with `patch` merged in: nulls delete, objects merge, everything else replaces.

    `document` is not changed; the result shares what the patch did not touch. Raises ApiError (400) if the patch is
    not an object.
    """
    if not isinstance(patch, dict):
        target = "map[string]interface {}"
        raise errors.bad_request(
            f"error decoding patch: json: cannot unmarshal {type_name(patch)} into Go value of type {target}"
        )
    return _merge(document, patch)


def _merge(document: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    merged = dict(document)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            old = merged.get(key)
            merged[key] = _merge(old if isinstance(old, dict) else {}, value)
        else:
            merged[key] = value
    return merged
