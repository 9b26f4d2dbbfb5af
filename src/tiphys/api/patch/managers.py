"""The entries of metadata.managedFields: who owns which fields, since when."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from tiphys.api.patch.field_sets import FieldSet, difference, union

UPDATE: Final = "Update"
APPLY: Final = "Apply"
MAXIMUM_UPDATERS: Final = 10
MAXIMUM_NAME_LENGTH: Final = 128
_BUCKET: Final = "ancient-changes"

Entry = dict[str, Any]


def manager_name(field_manager: str, user_agent: str) -> str:
    """The manager of a request: its fieldManager, or its user agent up to the first slash."""
    if field_manager:
        return field_manager
    name = user_agent.partition("/")[0]
    printable = "".join(character for character in name if character.isprintable())
    return printable.encode()[:MAXIMUM_NAME_LENGTH].decode(errors="ignore")


def identity(entry: Entry) -> tuple[str, str, str, str]:
    """What makes two entries the same manager's: appliers are the same whatever version they apply."""
    operation = entry.get("operation", "")
    version = "" if operation == APPLY else entry.get("apiVersion", "")
    return entry.get("manager", ""), operation, version, entry.get("subresource", "")


def sort_key(entry: Entry) -> str:
    """Managers in the order messages list them: by their serialized identity."""
    name, operation, version, subresource = identity(entry)
    parts = {"manager": name, "operation": operation, "apiVersion": version, "subresource": subresource}
    return msgspec.json.encode({key: value for key, value in parts.items() if value}).decode()


def entry_of(
    manager: str, operation: str, api_version: str, subresource: str, fields: FieldSet, now: str | None
) -> Entry:
    """A new entry; members in the order upstream writes them."""
    entry: Entry = {"manager": manager or "unknown", "operation": operation, "apiVersion": api_version}
    if now is not None:
        entry["time"] = now
    entry |= {"fieldsType": "FieldsV1", "fieldsV1": fields}
    if subresource:
        entry["subresource"] = subresource
    return entry


def without(entry: Entry, fields: FieldSet) -> Entry | None:
    """The entry less some fields; the entry itself if it has none of them, None if nothing is left."""
    old = entry["fieldsV1"]
    rest = difference(old, fields)
    if rest is old:
        return entry
    return {**entry, "fieldsV1": rest} if rest else None


def decoded(entries: Any) -> list[Entry] | None:
    """The entries if they are well-formed, else None."""
    if not isinstance(entries, list):
        return None
    for entry in entries:
        if not isinstance(entry, dict) or entry.get("operation") not in (APPLY, UPDATE):
            return None
        if entry.get("fieldsType", "FieldsV1") != "FieldsV1" or not isinstance(entry.get("fieldsV1", {}), dict):
            return None
    return [entry if "fieldsV1" in entry else {**entry, "fieldsV1": {}} for entry in entries]


def is_reset(entries: Any) -> bool:
    """True for ``[{}]``, the way to drop all ownership."""
    return isinstance(entries, list) and len(entries) == 1 and not entries[0]


def ordered(entries: Iterable[Entry]) -> list[Entry]:
    """Appliers first, then by time, then by name; entries without fields are dropped."""
    kept = [entry for entry in entries if entry["fieldsV1"]]
    if len(kept) > 1:
        kept.sort(key=_order)
    return kept


def _order(entry: Entry) -> tuple[str, ...]:
    time = entry.get("time") or ""
    return (
        *(entry.get("operation", ""), time, entry.get("manager", "")),
        *(entry.get("apiVersion", ""), entry.get("subresource", "")),
    )


def capped(entries: list[Entry]) -> list[Entry]:
    """At most ten updaters: the oldest of a version share one entry, named ``ancient-changes``."""
    updaters = [entry for entry in entries if entry.get("operation") == UPDATE]
    surplus = len(updaters) - MAXIMUM_UPDATERS
    if surplus <= 0:
        return entries
    updaters.sort(key=lambda entry: (entry.get("time") or "", sort_key(entry)))
    buckets: dict[str, list[Entry]] = {}
    for entry in updaters:
        bucket = buckets.setdefault(entry.get("apiVersion", ""), [])
        if bucket:
            surplus -= 1
        bucket.append(entry)
        if surplus <= 0:
            break
    merged = [entry for entry in entries if not any(entry in bucket for bucket in buckets.values() if len(bucket) > 1)]
    for version, bucket in buckets.items():
        if len(bucket) > 1:
            fields: FieldSet = {}
            for entry in bucket:
                fields = union(fields, entry["fieldsV1"])
            merged.append(entry_of(_BUCKET, UPDATE, version, "", fields, bucket[-1].get("time")))
    return merged
