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
    _own(None, obj, manager, "", now, known)


def updated(stored: bytes, obj: Any, manager: str, subresource: str, now: str, known: Tracked | None = None) -> None:
    """Make `manager` the owner of what it changes in a stored object."""
    _own(codec.decode_any(stored), obj, manager, subresource, now, known)


def _own(live: Any, obj: Any, manager: str, subresource: str, now: str, known: Tracked | None) -> None:
    """Nobody owns anything of an object whose list items cannot be told apart: it is still a good object."""
    new = codec.to_dict(obj)
    try:
        entries = update_managed_fields(live, new, manager=manager, now=now, subresource=subresource, known=known)
    except ValueError:
        entries = None
    obj.metadata.managed_fields = _convert(entries, _Entries) if entries else ()
