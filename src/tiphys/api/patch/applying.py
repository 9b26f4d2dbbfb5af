"""Server-side apply: a configuration says what its manager wants, and what it no longer says is given up."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from tiphys.api import errors
from tiphys.api.errors import ApiError
from tiphys.api.field_errors import quote
from tiphys.api.patch import managers, merging, tracked
from tiphys.api.patch.comparing import compare
from tiphys.api.patch.field_sets import FieldSet, Path, declared, difference, intersection, paths, render, union
from tiphys.api.patch.managers import APPLY, UPDATE, Entry
from tiphys.api.patch.plans import Plan
from tiphys.api.patch.tracked import Tracked
from tiphys.api.types.meta_v1 import StatusCause

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
_KUBECTL: Final = "kubectl"
_BEFORE: Final = "before-first-apply"

Map = dict[str, Any]
_Conflicts = list[tuple[Entry, FieldSet]]


def server_side_apply(
    live: Map | None,
    applied: Map,
    *,
    manager: str,
    now: str,
    force: bool = False,
    subresource: str = "",
    api_version: str = "",
    kind: str = "",
    known: Tracked | None = None,
) -> Map:
    """The object after `manager` applied `applied`, metadata.managedFields included; `live` is None on create.

    api_version and kind: what the endpoint serves; a configuration of another is refused. known: what is tracked, for
    custom resources. The result is not defaulted or validated and may hold nulls for what was emptied; it is equal to
    `live` if nothing changed. Raises ApiError: 409 with upstream's causes on conflicts (unless `force`), 400 and 500
    (as upstream) for configurations that make no sense.
    """
    version = api_version or applied.get("apiVersion", "")
    kind = kind or applied.get("kind", "")
    _check_type(applied, version, kind)
    if known is None:
        known = tracked.of_kind(version, kind, subresource)
    _check_fields(known.plan, applied, version, kind)
    application = _Application(live, applied, known, manager, version, subresource, now)
    conflicts = application.conflicts()
    if conflicts and not force:
        if manager == _KUBECTL and live is not None:
            conflicts = _not_from_kubectl(conflicts, live, known)
        if conflicts:
            raise _conflict(conflicts)
    return application.result(manager == _KUBECTL)


class _Application:
    """One application: the merged object, and whose fields it changes."""

    def __init__(
        self, live: Map | None, applied: Map, known: Tracked, manager: str, version: str, subresource: str, now: str
    ) -> None:
        self._live = live
        self._applied = applied
        self._known = known
        self._now = now
        base: Map = live if live is not None else {"apiVersion": version, "metadata": {}}
        entries = managers.decoded(base["metadata"].get("managedFields")) or []
        if live is not None and not entries:
            before = compare(known.plan, known.template, known.visible(live)).taken
            entries = [managers.entry_of(_BEFORE, UPDATE, version, "", before, now)]
        wanted = known.owned(applied)
        self._mine = managers.entry_of(manager, APPLY, version, subresource, wanted, None)
        identity = managers.identity(self._mine)
        self._previous = next((entry for entry in entries if managers.identity(entry) == identity), None)
        self._others = [entry for entry in entries if entry is not self._previous]
        merged = merging.merge(known.plan, base, applied)
        self._merged: Map = self._pruned(merged, version)
        self._version = version
        self._taken, self._gone = compare(known.plan, known.visible(base), known.visible(self._merged))

    def _pruned(self, merged: Map, version: str) -> Map:
        """`merged` without what the manager applied before and does not now, unless someone else owns it."""
        last = self._previous
        if last is None or not last["fieldsV1"] or last.get("apiVersion") != version:
            return merged
        plan = self._known.plan

        def named(fields: FieldSet) -> FieldSet:
            return merging.with_named_fields(plan, fields)

        managed = declared(plan, self._applied)
        for entry in self._others:
            if entry.get("apiVersion") == version:
                managed = union(managed, entry["fieldsV1"])
        everything = named(declared(plan, merged))
        lasting = named(last["fieldsV1"])
        pruned = merging.remove(plan, merged, lasting)
        kept = union(named(declared(plan, pruned)), named(managed))
        pruned = merging.remove(plan, merged, difference(everything, kept))
        missing = difference(everything, named(declared(plan, pruned)))
        result: Map = merging.remove(plan, merged, intersection(missing, lasting))
        return result

    def conflicts(self) -> _Conflicts:
        """Others' fields that would change."""
        found = [
            (entry, intersection(entry["fieldsV1"], self._taken))
            for entry in self._others
            if entry.get("apiVersion") == self._version
        ]
        return sorted((pair for pair in found if pair[1]), key=lambda pair: managers.sort_key(pair[0]))

    def result(self, sync_last_applied: bool) -> Map:
        """The object with its new managedFields."""
        touched = union(self._taken, self._gone)
        entries: list[Entry] = []
        for entry in self._others:
            rest = managers.without(entry, touched) if entry.get("apiVersion") == self._version else entry
            if rest is not None:
                entries.append(rest)
        if self._merged != self._live:
            self._mine["time"] = self._now
        elif self._previous is not None and "time" in self._previous:
            self._mine["time"] = self._previous["time"]
        entries.append({key: self._mine[key] for key in _ENTRY_ORDER if key in self._mine})
        metadata = {key: value for key, value in self._merged["metadata"].items() if key != "managedFields"}
        if kept := managers.ordered(entries):
            metadata["managedFields"] = kept
        annotations = metadata.get("annotations")
        if sync_last_applied and annotations and LAST_APPLIED in annotations:
            metadata["annotations"] = {**annotations, LAST_APPLIED: _last_applied(self._applied)}
        return {**self._merged, "metadata": metadata}


_ENTRY_ORDER: Final = ("manager", "operation", "apiVersion", "time", "fieldsType", "fieldsV1", "subresource")


def _check_type(applied: Map, version: str, kind: str) -> None:
    given_version, given_kind = applied.get("apiVersion") or "", applied.get("kind") or ""
    if not given_version or not given_kind or given_kind != kind:
        raise errors.bad_request(f"invalid object type: {_gvk(given_version, given_kind)}")
    if given_version != version:
        raise errors.bad_request(
            f"Incorrect version specified in apply patch. Specified patch version: {given_version}, expected: {version}"
        )
    metadata = applied.get("metadata")
    if isinstance(metadata, dict) and metadata.get("managedFields") is not None:
        raise errors.bad_request("metadata.managedFields must be nil")


def _check_fields(plan: Plan, applied: Map, version: str, kind: str) -> None:
    problems = merging.check(plan, applied)
    if not problems:
        return
    metadata = applied.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    who = f"{metadata.get('namespace', '')}/{metadata.get('name', '')}; {_gvk(version, kind)}"
    text = problems[0] if len(problems) == 1 else "errors:\n" + "\n".join(f"  {problem}" for problem in problems)
    raise errors.unclassified(f"failed to create typed patch object ({who}): {text}")


def _gvk(version: str, kind: str) -> str:
    return f"{version if '/' in version else f'/{version}'}, Kind={kind}"


def _not_from_kubectl(conflicts: _Conflicts, live: Map, known: Tracked) -> _Conflicts:
    """The conflicts less those about fields that kubectl's client-side apply left as they are."""
    text = (live["metadata"].get("annotations") or {}).get(LAST_APPLIED)
    try:
        last = msgspec.json.decode(text) if text else None
        if not isinstance(last, dict) or merging.check(known.plan, last):
            return conflicts
        changed = compare(known.plan, known.visible(last), known.visible(live))
        allowed = difference(known.owned(last), union(changed.taken, changed.gone))
    except (msgspec.DecodeError, ValueError):
        return conflicts
    rest = [(entry, difference(fields, allowed)) for entry, fields in conflicts]
    return [pair for pair in rest if pair[1]]


def _last_applied(applied: Map) -> str:
    """The configuration as kubectl keeps it in its annotation."""
    metadata = dict(applied.get("metadata") or {})
    annotations = {key: value for key, value in (metadata.get("annotations") or {}).items() if key != LAST_APPLIED}
    metadata["annotations"] = annotations
    return msgspec.json.Encoder(order="sorted").encode({**applied, "metadata": metadata}).decode() + "\n"


def _conflict(conflicts: _Conflicts) -> ApiError:
    """409 in upstream's words: one conflict on one line, several by manager."""
    found: list[tuple[str, list[Path]]] = [(_named(entry), list(paths(fields))) for entry, fields in conflicts]
    causes = [
        StatusCause(reason="FieldManagerConflict", message=f"conflict with {name}", field=render(path))
        for name, listed in found
        for path in listed
    ]
    if len(causes) == 1:
        return errors.apply_conflict(f"Apply failed with 1 conflict: {causes[0].message}: {causes[0].field}", causes)
    lines: list[str] = []
    for name, listed in found:
        lines += [f"conflicts with {name}:", *(f"- {render(path)}" for path in listed)]
    return errors.apply_conflict(f"Apply failed with {len(causes)} conflicts: " + "\n".join(lines), causes)


def _named(entry: Entry) -> str:
    text = quote(entry.get("manager", ""))
    if entry.get("subresource"):
        text = f"{text} with subresource {quote(entry['subresource'])}"
    return f"{text} using {entry.get('apiVersion', '')}" if entry.get("operation") == UPDATE else text
