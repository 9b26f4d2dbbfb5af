"""Label indexes, grown while selectors ask for a label and kept up to date from then on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Final

from tiphys.apiserver.watch_cache.objects import CachedObject

_MAXIMUM_INDEXED_LABELS: Final = 16
_WORTH_INDEXING_OBJECTS: Final = 64
_OBJECTS_A_QUESTION: Final = 5_000
_NO_KEYS: Final[frozenset[str]] = frozenset()

Objects = Mapping[str, CachedObject]


class _Values:
    """Value to the keys of the objects that carry it under one label; complete when `waiting` is None.

    `waiting`: the keys still to be looked at, of all there were when the index began. What changed meanwhile has been
    followed already, and looking at it again changes nothing.
    """

    __slots__ = ("keys_of", "waiting")

    def __init__(self, keys: Iterable[str]) -> None:
        self.keys_of: dict[str, set[str]] = {}
        self.waiting: Iterator[str] | None = iter(keys)

    def add(self, value: str, key: str) -> None:
        keys = self.keys_of.get(value)
        if keys is None:
            self.keys_of[value] = {key}
        else:
            keys.add(key)

    def discard(self, value: str, key: str) -> None:
        keys = self.keys_of.get(value)
        if keys is not None:
            keys.discard(key)
            if not keys:
                del self.keys_of[value]

    def keys(self, wanted: Collection[str]) -> Collection[str]:
        """The objects with one of the values."""
        found = [self.keys_of.get(value, _NO_KEYS) for value in wanted]
        return found[0] if len(found) == 1 else list(chain.from_iterable(found))


class LabelIndex:
    """For up to 16 label names: which objects carry which value.

    An index over many objects is grown by a part with each question: none of them stops the server for long. The names
    asked for most recently are kept, so that an index nobody uses costs nothing.
    """

    __slots__ = ("_of_label",)

    def __init__(self) -> None:
        self._of_label: dict[str, _Values] = {}

    def candidates(self, demands: Mapping[str, Collection[str]], objects: Objects) -> Collection[str] | None:
        """Keys of a superset of the objects that carry each label with one of its values, in no order, none twice.

        None where scanning all objects is as good.
        """
        if not demands or len(objects) < _WORTH_INDEXING_OBJECTS:
            return None
        grown = [
            values.keys(demands[label]) for label in demands if (values := self._values(label, objects)).waiting is None
        ]
        if grown:
            return min(grown, key=len)
        label, wanted = next(iter(demands.items()))
        return [obj.key for obj in objects.values() if obj.labels.get(label) in wanted]

    def replace(self, previous: CachedObject | None, current: CachedObject | None) -> None:
        """Follow one change."""
        if not self._of_label or (previous is not None and current is not None and previous.labels is current.labels):
            return
        for label, values in self._of_label.items():
            if previous is not None and (old := previous.labels.get(label)) is not None:
                values.discard(old, previous.key)
            if current is not None and (new := current.labels.get(label)) is not None:
                values.add(new, current.key)

    def _values(self, label: str, objects: Objects) -> _Values:
        values = self._of_label.pop(label, None)
        if values is None:
            values = _Values(list(objects))
            while len(self._of_label) >= _MAXIMUM_INDEXED_LABELS:
                del self._of_label[next(iter(self._of_label))]
        self._of_label[label] = values
        if values.waiting is not None:
            _grow(values, values.waiting, label, objects)
        return values


def _grow(values: _Values, waiting: Iterator[str], label: str, objects: Objects) -> None:
    """Look at the next objects; those that went meanwhile are passed over."""
    seen = 0
    for key in islice(waiting, _OBJECTS_A_QUESTION):
        seen += 1
        obj = objects.get(key)
        if obj is not None and (value := obj.labels.get(label)) is not None:
            values.add(value, key)
    if seen < _OBJECTS_A_QUESTION:
        values.waiting = None
