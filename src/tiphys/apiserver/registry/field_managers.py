"""metadata.managedFields of objects that are created or updated: `tiphys.api.patch` applied to structs."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from tiphys.api import codec
from tiphys.api.patch import Tracked, update_managed_fields
from tiphys.api.types.meta_v1 import ManagedFieldsEntry

_convert: Final = msgspec.convert
_Entries: Final = tuple[ManagedFieldsEntry, ...]


def created(obj: Any, manager: str, now: str, known: Tracked | None = None) -> None:
    """Make `manager` the owner of everything in a new object; `obj` is as admission left it."""
    entries = update_managed_fields(None, codec.to_dict(obj), manager=manager, now=now, known=known)
    obj.metadata.managed_fields = _convert(entries, _Entries) if entries else ()


def updated(stored: bytes, obj: Any, manager: str, subresource: str, now: str, known: Tracked | None = None) -> None:
    """Make `manager` the owner of what it changes in a stored object."""
    live = codec.decode_any(stored)
    new = codec.to_dict(obj)
    entries = update_managed_fields(live, new, manager=manager, now=now, subresource=subresource, known=known)
    obj.metadata.managed_fields = _convert(entries, _Entries) if entries else ()
