"""JSON patch (RFC 6902)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Final

from tiphys.api import codec, errors
from tiphys.api.errors import ApiError
from tiphys.api.patch.go_text import type_name
from tiphys.api.types.meta_v1 import Status, StatusDetails

MAXIMUM_OPERATIONS: Final = 10_000
# What all copies of a patch may add: each may double the document.
MAXIMUM_COPIED_BYTES: Final = 3 * 1024 * 1024
_MISSING: Final = object()


class _NotApplicableError(Exception):
    """The operation does not fit the document."""


def json_patch(document: dict[str, Any], operations: Any) -> dict[str, Any]:
    """`document` after all `operations`, in order; all or nothing.

    `document` is not changed; the result shares what no operation touched. Raises ApiError: 400 if `operations` is no
    list, 413 for too many, 422 if one does not apply.
    """
    if not isinstance(operations, list):
        kind = type_name(operations)
        raise errors.bad_request(f"json: cannot unmarshal {kind} into Go value of type jsonpatch.Patch")
    if len(operations) > MAXIMUM_OPERATIONS:
        limit = f"The allowed maximum operations in a JSON patch is {MAXIMUM_OPERATIONS}, got {len(operations)}"
        raise errors.request_entity_too_large(limit)
    result: Any = document
    copied_bytes = 0
    try:
        for operation in operations:
            if not isinstance(operation, dict):
                kind = type_name(operation)
                raise errors.bad_request(f"json: cannot unmarshal {kind} into Go value of type jsonpatch.Operation")
            if operation.get("op") == "copy":
                copied_bytes += len(codec.encode_any(_find(result, _steps(operation.get("from")))))
                if copied_bytes > MAXIMUM_COPIED_BYTES:
                    raise _NotApplicableError
            result = _apply(result, operation)
    except _NotApplicableError:
        raise _unprocessable() from None
    if not isinstance(result, dict):
        raise _unprocessable()
    return result


def _unprocessable() -> ApiError:
    message = "the server rejected our request due to an error in our request"
    return ApiError(Status(status="Failure", code=422, reason="Invalid", message=message, details=StatusDetails()))


def _apply(document: Any, operation: dict[str, Any]) -> Any:
    kind = operation.get("op")
    path = _steps(operation.get("path"))
    if kind in ("add", "replace", "test"):
        value = operation.get("value", _MISSING)
        if value is _MISSING and kind != "test":
            raise _NotApplicableError
        if kind == "test":
            expected = None if value is _MISSING else value
            if not _same(_find(document, path, None), expected):
                raise _NotApplicableError
            return document
        if kind == "replace":
            _find(document, path)
            return _edit(document, path, lambda parent, step: _replace(parent, step, value))
        return _edit(document, path, lambda parent, step: _add(parent, step, value))
    if kind == "remove":
        return _edit(document, path, _remove)
    if kind in ("move", "copy"):
        source = _steps(operation.get("from"))
        value = _find(document, source)
        if kind == "copy":
            value = copy.deepcopy(value)
        else:
            if path[: len(source)] == source and path != source:
                raise _NotApplicableError
            document = _edit(document, source, _remove)
        return _edit(document, path, lambda parent, step: _add(parent, step, value))
    raise _NotApplicableError


def _same(left: Any, right: Any) -> bool:
    """Equality of JSON values: Python would take true for 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(value, right[key]) for key, value in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    return bool(left == right)


def _steps(pointer: Any) -> list[str]:
    if not isinstance(pointer, str) or (pointer and not pointer.startswith("/")):
        raise _NotApplicableError
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]


def _find(document: Any, path: list[str], default: Any = _MISSING) -> Any:
    """The value at `path`; if it is not there `default`, or _NotApplicableError without one."""
    for position, step in enumerate(path):
        last = position == len(path) - 1
        if isinstance(document, dict) and step in document:
            document = document[step]
        elif isinstance(document, list) and step != "-":
            document = document[_index(document, step, len(document) - 1)]
        elif last and default is not _MISSING and isinstance(document, dict):
            return default
        else:
            raise _NotApplicableError
    return document


def _edit(document: Any, path: list[str], change: Callable[[Any, str], Any]) -> Any:
    """A copy of `document` with `change` made to (a copy of) the container that holds the last step."""
    if not path:
        changed: dict[str, Any] = change({"": document}, "")
        return changed.get("")  # removing the whole leaves null
    step, *rest = path
    if not isinstance(document, dict | list):
        raise _NotApplicableError
    if not rest:
        return change(copy.copy(document), step)
    inner = _edit(_find(document, [step]), rest, change)
    outer = copy.copy(document)
    if isinstance(outer, dict):
        outer[step] = inner
    else:
        outer[_index(outer, step, len(outer) - 1)] = inner
    return outer


def _add(container: Any, step: str, value: Any) -> Any:
    if isinstance(container, dict):
        container[step] = value
    else:
        container.insert(len(container) if step == "-" else _index(container, step, len(container)), value)
    return container


def _replace(container: Any, step: str, value: Any) -> Any:
    container[step if isinstance(container, dict) else _index(container, step, len(container) - 1)] = value
    return container


def _remove(container: Any, step: str) -> Any:
    if isinstance(container, dict):
        if step not in container:
            raise _NotApplicableError
        del container[step]
    else:
        del container[_index(container, step, len(container) - 1)]
    return container


def _index(array: list[Any], step: str, maximum: int) -> int:
    """`step` as an index; upstream counts negative ones from the end."""
    digits = step.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or (len(digits) > 1 and digits[0] == "0"):
        raise _NotApplicableError
    number = int(step)
    if number < 0:
        number += maximum + 1
    if not 0 <= number <= maximum:
        raise _NotApplicableError
    return number
