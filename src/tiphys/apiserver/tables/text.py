"""Pieces of cells that many tables share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from tiphys.api import selectors
from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import Container
from tiphys.api.types.meta_v1 import LabelSelector

NONE: Final = "<none>"
UNSET: Final = "<unset>"
_SHOWN: Final = 3


def labels(pairs: Mapping[str, str]) -> str:
    """``a=1,b=2`` in order of names."""
    return ",".join(f"{key}={pairs[key]}" for key in sorted(pairs)) or NONE


def selector(value: LabelSelector | None) -> str:
    """A label selector in its text form."""
    try:
        return str(selectors.from_label_selector(value)) or NONE
    except ApiError:
        return "<error>"


def containers(items: Sequence[Container]) -> tuple[str, str]:
    """Names and images, each comma-separated."""
    return ",".join(item.name for item in items), ",".join(item.image or "" for item in items)


def boolean(value: bool | None) -> str:
    """A flag in a column of text."""
    return UNSET if value is None else str(value)


def some(items: Iterable[str], empty: str, shown: int = _SHOWN, separator: str = ",") -> str:
    """The first few items and how many more there are."""
    listed = list(items)
    text = separator.join(listed[:shown])
    if len(listed) > shown:
        return f"{text} + {len(listed) - shown} more..."
    return text or empty
