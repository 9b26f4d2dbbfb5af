"""The newest that is known of objects: what the informer shows, or what was written since.

Without it a controller that binds two claims in a row would see the first one's volume as free still: the write would
be refused, and tried again, for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Generic, TypeVar

from tiphys.client import Informer, ObjectKey, key_of

T = TypeVar("T")


class Newest(Generic[T]):
    """An informer's objects, overlaid by answers to writes until the informer has caught up."""

    def __init__(self, informer: Informer[T]) -> None:
        self._informer = informer
        self._written: dict[ObjectKey, T] = {}
        informer.add_handler(on_update=lambda _, new: self._seen(new), on_delete=self._gone)

    def get(self, name: str, namespace: str = "") -> T | None:
        """The newest version, or None."""
        shown = self._informer.get(name, namespace)
        return shown if shown is None else self.newest(shown)

    def newest(self, shown: T) -> T:
        """What was written since the informer showed `shown`, or that."""
        written = self._written.get(key_of(shown))
        return shown if written is None or _revision(written) <= _revision(shown) else written

    def by_index(self, index: str, key: str) -> Iterable[T]:
        """The newest versions of what the informer files under `key`."""
        return map(self.newest, self._informer.by_index(index, key))

    def wrote(self, obj: T) -> T:
        """Remember the answer to a write."""
        self._written[key_of(obj)] = obj
        shown = self._informer.get(*reversed(key_of(obj)))
        if shown is not None:
            self._seen(shown)
        return obj

    def _seen(self, shown: T) -> None:
        written = self._written.get(key_of(shown))
        if written is not None and _revision(written) <= _revision(shown):
            del self._written[key_of(shown)]

    def _gone(self, last: T) -> None:
        self._written.pop(key_of(last), None)


def _revision(obj: Any) -> int:
    text = obj.metadata.resource_version or ""
    return int(text) if text.isdigit() else 0
