"""What a LIST or WATCH asks for: a scope and selectors, as one immutable predicate over cached objects."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from tiphys.apiserver.watch_cache.fields import FieldReader
from tiphys.apiserver.watch_cache.objects import CachedObject


class LabelMatcher(Protocol):
    """A parsed label selector."""

    def matches(self, labels: Mapping[str, str]) -> bool: ...


class Filter:
    """A predicate over one resource's objects.

    key: objects outside of the namespace (or other than the named one) do not match; name "" is any, namespace "" all.
    labels: None matches all. label_demands: labels every match has, each with one of the values.
    equal, unequal: field label to the value it must or must not have.
    trigger: the value asked of the resource's indexed field, None if the selector does not pin it.
    shown: what is left to ask of an object once it is in the version that is served (see `apart`), None for nothing.
    """

    __slots__ = ("_fields", "_reader", "label_demands", "labels", "name", "namespace", "shown", "trigger")

    def __init__(
        self,
        namespace: str = "",
        name: str = "",
        labels: LabelMatcher | None = None,
        label_demands: Mapping[str, Collection[str]] | None = None,
        fields: tuple[tuple[str, bool, str], ...] = (),
        reader: FieldReader | None = None,
        trigger: str | None = None,
    ) -> None:
        self.namespace = namespace
        self.name = name
        self.labels = labels
        self.label_demands = label_demands or {}
        self.trigger = trigger
        self._fields = fields
        self._reader = reader
        self.shown: Filter | None = None

    @property
    def everything(self) -> bool:
        """True if only the scope restricts."""
        return (
            self.labels is None and not self._fields and not self.name and self.trigger is None and self.shown is None
        )

    def apart(self) -> Filter:
        """The same for objects kept in another version: what that version calls its fields is asked of `shown`."""
        own = tuple(field for field in self._fields if not field[0].startswith("metadata."))
        if not own:
            return self
        common = tuple(field for field in self._fields if field[0].startswith("metadata."))
        kept = Filter(self.namespace, self.name, self.labels, self.label_demands, common, self._reader, self.trigger)
        kept.shown = Filter(fields=own, reader=self._reader)
        return kept

    @property
    def reads_objects(self) -> bool:
        """True if fields that are only in the objects' JSON are asked for, and nothing narrows the search."""
        if self.name or self.trigger is not None or self.label_demands:
            return False
        return any(label not in ("metadata.name", "metadata.namespace") for label, _, _ in self._fields)

    def in_scope(self, obj: CachedObject) -> bool:
        """True if the namespace and name fit."""
        if self.namespace and not obj.key.startswith(self.namespace + "/"):
            return False
        return not self.name or obj.name == self.name

    def selects(self, obj: CachedObject) -> bool:
        """True if the selectors match an object that is in scope."""
        if self.labels is not None and not self.labels.matches(obj.labels):
            return False
        if self.trigger is not None and obj.trigger != self.trigger:
            return False
        return not self._fields or self._fields_match(obj)

    def matches(self, obj: CachedObject) -> bool:
        return self.in_scope(obj) and self.selects(obj)

    def _fields_match(self, obj: CachedObject) -> bool:
        values: dict[str, str] | None = None
        for label, wanted, value in self._fields:
            if label == "metadata.name":
                actual = obj.name
            elif label == "metadata.namespace":
                actual = obj.namespace
            else:
                if values is None:
                    assert self._reader is not None
                    values = self._reader.read(obj.value)
                actual = values[label]
            if (actual == value) is not wanted:
                return False
        return True
