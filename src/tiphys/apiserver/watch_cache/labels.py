"""Label indexes, built when a selector first asks for a label and kept up to date from then on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from tiphys.apiserver.watch_cache.objects import CachedObject

_MAXIMUM_INDEXED_LABELS: Final = 16
_WORTH_INDEXING_OBJECTS: Final = 64


class LabelIndex:
    """For up to 16 label names: value to the keys of the objects that carry it.

    The names asked for most recently are kept, so that an index nobody uses costs nothing.
    """

    __slots__ = ("_of_label",)

    def __init__(self) -> None:
        self._of_label: dict[str, dict[str, set[str]]] = {}

    def candidates(self, equals: Mapping[str, str], objects: Mapping[str, CachedObject]) -> set[str] | None:
        """Keys of a superset of the objects with all those labels; None where scanning is as good."""
        if not equals or len(objects) < _WORTH_INDEXING_OBJECTS:
            return None
        return min(
            (self._values(label, objects.values()).get(value, set()) for label, value in equals.items()), key=len
        )

    def replace(self, previous: CachedObject | None, current: CachedObject | None) -> None:
        """Follow one change."""
        if not self._of_label or (previous is not None and current is not None and previous.labels is current.labels):
            return
        for label, values in self._of_label.items():
            if previous is not None and (old := previous.labels.get(label)) is not None:
                keys = values.get(old, set())
                keys.discard(previous.key)
                if not keys:
                    values.pop(old, None)
            if current is not None and (new := current.labels.get(label)) is not None:
                values.setdefault(new, set()).add(current.key)

    def _values(self, label: str, objects: Iterable[CachedObject]) -> dict[str, set[str]]:
        values = self._of_label.pop(label, None)
        if values is None:
            values = {}
            for obj in objects:
                value = obj.labels.get(label)
                if value is not None:
                    values.setdefault(value, set()).add(obj.key)
            while len(self._of_label) >= _MAXIMUM_INDEXED_LABELS:
                del self._of_label[next(iter(self._of_label))]
        self._of_label[label] = values
        return values
