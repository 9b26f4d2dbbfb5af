"""metadata.managedFields of objects that are created or updated: `tiphys.api.patch` applied to structs."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from tiphys.api import codec
from tiphys.api.patch import update_managed_fields
from tiphys.api.scheme import Resource
from tiphys.api.types.meta_v1 import ManagedFieldsEntry

_convert: Final = msgspec.convert
_Entries: Final = tuple[ManagedFieldsEntry, ...]


def created(obj: Any, resource: Resource | None, manager: str, now: str) -> None:
    """Make `manager` the owner of everything in a new object; `obj` is as admission left it."""
    entries = update_managed_fields(None, codec.to_dict(obj), manager=manager, now=now)
    obj.metadata.managed_fields = _convert(entries, _Entries) if entries else ()


def updated(stored: bytes, obj: Any, resource: Resource, manager: str, subresource: str, now: str) -> None:
    """Make `manager` the owner of what it changes in a stored object."""
    live = codec.decode_any(stored)
    entries = update_managed_fields(live, codec.to_dict(obj), manager=manager, now=now, subresource=subresource)
    obj.metadata.managed_fields = _convert(entries, _Entries) if entries else ()
