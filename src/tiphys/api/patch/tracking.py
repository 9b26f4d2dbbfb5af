"""Who owns which fields after a create, an update or a patch (server-side apply is in `applying`)."""

from __future__ import annotations

from typing import Any

from tiphys.api.patch import managers, tracked
from tiphys.api.patch.comparing import compare
from tiphys.api.patch.field_sets import union
from tiphys.api.patch.managers import UPDATE, Entry
from tiphys.api.patch.tracked import Tracked


def update_managed_fields(
    live: dict[str, Any] | None,
    new: dict[str, Any],
    *,
    manager: str,
    now: str,
    subresource: str = "",
    api_version: str = "",
    known: Tracked | None = None,
) -> list[Entry] | None:
    """metadata.managedFields of `new`, which is `live` (None on create) after a write by `manager`; None for "none".

    now: RFC 3339 in UTC, whole seconds. api_version: of the request, by default the object's. known: what is tracked,
    for custom resources (`tracked.of_custom`); built-in kinds are looked up. Neither object is changed, the result may
    share entries with both. A write that changes nothing gives back the entries it found.
    """
    version = api_version or new.get("apiVersion", "")
    if known is None:
        known = tracked.of_kind(version, new.get("kind", ""), subresource)
    entries = _found(live, new, subresource)
    if live is not None and not entries:
        return None
    old = known.template if live is None else known.visible(live)
    taken, gone = compare(known.plan, old, known.visible(new))
    if not taken and not gone:
        return managers.ordered(entries) or None
    kept = _disowned(entries, union(taken, gone), version)
    if taken:
        kept = managers.capped(_owned(kept, entries, manager, version, subresource, taken, now))
    return managers.ordered(kept) or None


def _found(live: dict[str, Any] | None, new: dict[str, Any], subresource: str) -> list[Entry]:
    """The entries to start from: the request's if it has good ones, else the stored ones."""
    stored = managers.decoded(live["metadata"].get("managedFields")) if live is not None else None
    if subresource:
        return stored or []
    asked = new["metadata"].get("managedFields")
    if managers.is_reset(asked):
        return []
    return managers.decoded(asked) or stored or []


def _disowned(entries: list[Entry], touched: dict[str, Any], version: str) -> list[Entry]:
    """The entries less what was touched; those of other versions speak of other fields and stay."""
    kept: list[Entry] = []
    for entry in entries:
        rest = managers.without(entry, touched) if entry.get("apiVersion") == version else entry
        if rest is not None:
            kept.append(rest)
    return kept


def _owned(
    kept: list[Entry],
    entries: list[Entry],
    manager: str,
    version: str,
    subresource: str,
    taken: dict[str, Any],
    now: str,
) -> list[Entry]:
    """`kept` with what the manager took; its entry, if it has one, carries the new time."""
    mine = managers.entry_of(manager, UPDATE, version, subresource, taken, now)
    wanted = managers.identity(mine)
    others = []
    for entry in kept:
        if managers.identity(entry) == wanted:
            mine["fieldsV1"] = union(entry["fieldsV1"], taken)
        else:
            others.append(entry)
    return [*others, mine]
