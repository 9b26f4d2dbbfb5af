"""How an object lies in etcd, and how it is read back.

etcd gives a write its revision when it happens, so the object is kept without: its JSON, then a line with the place
where the revision belongs and, for what expires, when (epoch seconds). Values without that line, from other programs,
are taken as they are.

    {"metadata":{"name":"a","resourceVersion":""}}
    44 1767225600.000
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from tiphys.store.backend import KeyValue

_LONGEST_TRAILER = 40
_TRAILER = re.compile(rb"\n(\d+)(?: (\d+\.\d{3}))?\Z")


class Kept(NamedTuple):
    """A value out of etcd: whole, with its own revision in it; `expires_at` in epoch seconds."""

    item: KeyValue
    expires_at: float | None


def raw(head: bytes, tail: bytes, expires_at: float | None) -> bytes:
    """The bytes to keep for ``head + revision + tail``."""
    if expires_at is None:
        return b"%b%b\n%d" % (head, tail, len(head))
    return b"%b%b\n%d %.3f" % (head, tail, len(head), expires_at)


def read(key: str, kv: Any) -> Kept:
    """A message ``KeyValue`` as the store's own, under the store's `key`."""
    value: bytes = kv.value
    expires_at = None
    trailer = _TRAILER.search(value, max(0, len(value) - _LONGEST_TRAILER))
    if trailer is not None:
        place = int(trailer[1])
        value = b"%b%d%b" % (value[:place], kv.mod_revision, value[place : trailer.start()])
        expires_at = float(trailer[2]) if trailer[2] else None
    return Kept(KeyValue(key, value, kv.create_revision, kv.mod_revision), expires_at)
