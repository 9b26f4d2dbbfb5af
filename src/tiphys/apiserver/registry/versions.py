"""The seam for kinds whose versions differ: objects are kept in one of them, and converted on their way in and out.

An object's bytes begin with its kind and apiVersion, so that one glance tells whether there is anything to convert.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")


class Versions(Protocol):
    """How one version of a kind is served; `customresources.conversion` has it."""

    def ready(self, values: Sequence[bytes]) -> list[bytes] | None:
        """Kept objects' JSON in the served version, None if that takes waiting."""
        ...

    async def shown(self, values: Sequence[bytes]) -> list[bytes]:
        """As `ready`, however long it takes. Raises ApiError."""
        ...

    async def parts(self, head: bytes, tail: bytes) -> tuple[bytes, bytes]:
        """A served object's JSON around its resourceVersion, in the version that is kept. Raises ApiError."""
        ...


async def settled(answer: T | Awaitable[T]) -> T:
    """What was promised, or what is there already."""
    if inspect.isawaitable(answer):
        return await answer
    return answer
