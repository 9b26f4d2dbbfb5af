"""Objects by key and by index: what an informer keeps and a lister reads.

Objects in a cache are shared: never change one, derive with `msgspec.structs.replace`.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from tiphys.api.selectors import Selector

T = TypeVar("T")

Indexer = Callable[[T], Iterable[str]]
"""The values an object is found by in one index."""


class ObjectKey(NamedTuple):
    """What names an object within its resource; `namespace` is empty for cluster-scoped kinds."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


def key_of(obj: Any) -> ObjectKey:
    """The key of an API object."""
    meta = obj.metadata
    return ObjectKey(meta.namespace or "", meta.name or "")


class Lister(Protocol[T]):
    """The read side of an informer: what controllers depend on and tests fake with an `ObjectCache`."""

    def get(self, name: str, namespace: str = "") -> T | None: ...

    def list(self, namespace: str | None = None, selector: Selector | None = None) -> builtins.list[T]: ...

    def by_index(self, index: str, key: str) -> builtins.list[T]: ...


class ObjectCache(Generic[T]):
    """Objects with any number of indexes. Reads cost what they return; writes cost the object's indexes."""

    def __init__(self, indexes: Mapping[str, Indexer[T]] | None = None) -> None:
        self._objects: dict[ObjectKey, T] = {}
        self._indexers: dict[str, Indexer[T]] = {}
        self._indexes: dict[str, dict[str, dict[ObjectKey, T]]] = {}
        self._by_namespace: dict[str, dict[ObjectKey, T]] = {}
        for name, indexer in (indexes or {}).items():
            self.add_index(name, indexer)

    def __len__(self) -> int:
        return len(self._objects)

    def __iter__(self) -> Iterator[T]:
        return iter(list(self._objects.values()))

    def keys(self) -> list[ObjectKey]:
        return list(self._objects)

    def add_index(self, name: str, indexer: Indexer[T]) -> None:
        """Index all objects, present and future, by `indexer`. Raises ValueError if `name` is another index's."""
        if name in self._indexers:
            if self._indexers[name] is indexer:
                return
            raise ValueError(f"an index named {name} exists")
        self._indexers[name] = indexer
        buckets: dict[str, dict[ObjectKey, T]] = {}
        self._indexes[name] = buckets
        for key, obj in self._objects.items():
            for value in indexer(obj):
                buckets.setdefault(value, {})[key] = obj

    def get(self, name: str, namespace: str = "") -> T | None:
        """The object, or None."""
        return self._objects.get(ObjectKey(namespace, name))

    def list(self, namespace: str | None = None, selector: Selector | None = None) -> builtins.list[T]:
        """The objects of `namespace` (None: of all) whose labels match `selector`, in no order."""
        if namespace is None:
            found = list(self._objects.values())
        else:
            found = list(self._by_namespace.get(namespace, {}).values())
        if selector is None:
            return found
        matches = selector.matches
        return [obj for obj in found if matches(obj.metadata.labels)]  # type: ignore[attr-defined]

    def by_index(self, index: str, key: str) -> builtins.list[T]:
        """The objects an index files under `key`; raises KeyError for an index that was not asked for."""
        bucket = self._indexes[index].get(key)
        return list(bucket.values()) if bucket else []

    def set(self, obj: T) -> T | None:
        """Store `obj`; returns the object it replaces."""
        key = key_of(obj)
        old = self._objects.get(key)
        self._objects[key] = obj
        self._by_namespace.setdefault(key.namespace, {})[key] = obj
        for name, indexer in self._indexers.items():
            self._reindex(self._indexes[name], key, indexer(old) if old is not None else (), indexer(obj), obj)
        return old

    def remove(self, key: ObjectKey) -> T | None:
        """Forget the object; returns it."""
        old = self._objects.pop(key, None)
        if old is None:
            return None
        _drop(self._by_namespace, key.namespace, key)
        for name, indexer in self._indexers.items():
            for value in indexer(old):
                _drop(self._indexes[name], value, key)
        return old

    @staticmethod
    def _reindex(
        buckets: dict[str, dict[ObjectKey, T]], key: ObjectKey, before: Iterable[str], after: Iterable[str], obj: T
    ) -> None:
        values = set(after)
        for value in before:
            if value not in values:
                _drop(buckets, value, key)
        for value in values:
            buckets.setdefault(value, {})[key] = obj


def _drop(buckets: dict[str, dict[ObjectKey, T]], value: str, key: ObjectKey) -> None:
    bucket = buckets.get(value)
    if bucket is not None:
        bucket.pop(key, None)
        if not bucket:
            del buckets[value]
