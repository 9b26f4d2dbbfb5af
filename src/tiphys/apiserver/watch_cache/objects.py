"""One object version as the cache keeps it: bytes, plus the few fields that indexes need."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

_LABELS_LIMIT: Final = 16384
_labels_of_json: dict[bytes, Mapping[str, str]] = {}
_NO_LABELS: Final[Mapping[str, str]] = {}
_ABSENT: Final = msgspec.Raw()
_labels_decoder: Final = msgspec.json.Decoder(dict[str, str])


class CachedObject(msgspec.Struct, gc=False):
    """One version of one object.

    key: ``namespace/name``, or ``name`` of a cluster-scoped object; unique and ordered as in the store.
    value: the object's whole JSON, the very bytes the store keeps, so that the cache costs no second copy.
    revision: the store revision of this version, which is also its resourceVersion.
    labels: shared between objects with equal labels; never changed.
    trigger: the value of the resource's indexed field (a pod's spec.nodeName), "" where there is none.
    """

    key: str
    value: bytes
    revision: int
    labels: Mapping[str, str]
    trigger: str

    @property
    def namespace(self) -> str:
        return self.key.rpartition("/")[0]

    @property
    def name(self) -> str:
        return self.key.rpartition("/")[2]


class _Metadata(msgspec.Struct, gc=False):
    labels: msgspec.Raw = _ABSENT


class _Probe(msgspec.Struct, gc=False):
    metadata: _Metadata


class _PodSpec(msgspec.Struct, gc=False, rename="camel"):
    node_name: str | None = None


class _PodProbe(msgspec.Struct, gc=False):
    metadata: _Metadata
    spec: _PodSpec = msgspec.field(default_factory=_PodSpec)


class ObjectFormat:
    """How one resource's stored bytes become cached objects and answers.

    `prefix` is what every full encoding starts with, such as ``{"kind":"Pod","apiVersion":"v1",``. Without
    `one_version` what is kept may be of other versions, which somebody else converts. typed: lists leave out what kind
    their items are; clients of custom resources expect it in each.
    """

    __slots__ = ("_decode", "_one_version", "api_version", "indexed", "kind", "prefix", "typed")

    def __init__(
        self,
        kind: str,
        api_version: str,
        *,
        index_node_name: bool = False,
        one_version: bool = True,
        typed: bool = True,
    ) -> None:
        self.typed = typed
        self.kind = kind
        self.api_version = api_version
        self.prefix = f'{{"kind":"{kind}","apiVersion":"{api_version}",'.encode()
        self.indexed = index_node_name
        self._one_version = one_version
        probe: type[Any] = _PodProbe if index_node_name else _Probe
        self._decode = msgspec.json.Decoder(probe).decode

    def cached(self, key: str, value: bytes, revision: int) -> CachedObject:
        """`value` (a full encoding) as a cached object."""
        probe = self._decode(value)
        raw = bytes(probe.metadata.labels)
        labels = _shared_labels(raw) if raw else _NO_LABELS
        trigger = sys.intern(probe.spec.node_name or "") if self.indexed else ""
        return CachedObject(key, self._canonical(value), revision, labels, trigger)

    def bodies(self, objects: Iterable[CachedObject]) -> list[memoryview]:
        """The objects as lists carry them: without the opening brace and, if typed, kind and apiVersion. Nothing is
        copied."""
        start = len(self.prefix) if self.typed else 1
        return [memoryview(obj.value)[start:] for obj in objects]

    def _canonical(self, value: bytes) -> bytes:
        """`value` itself if it begins as our encodings do, else its like that does."""
        if value.startswith(self.prefix) or not self._one_version:
            return value
        data = msgspec.json.decode(value)
        data.pop("kind", None)
        data.pop("apiVersion", None)
        return self.prefix + msgspec.json.encode(data)[1:]

    def deleted(self, obj: CachedObject, revision: int) -> bytes:
        """The object's last JSON with the deletion's revision as its resourceVersion."""
        old = b'"resourceVersion":"%d"' % obj.revision
        return obj.value.replace(old, b'"resourceVersion":"%d"' % revision, 1)


def _shared_labels(raw: bytes) -> Mapping[str, str]:
    labels = _labels_of_json.get(raw)
    if labels is None:
        if len(_labels_of_json) >= _LABELS_LIMIT:
            _labels_of_json.clear()
        labels = _labels_of_json[raw] = _labels_decoder.decode(raw) if raw != b"null" else _NO_LABELS
    return labels
