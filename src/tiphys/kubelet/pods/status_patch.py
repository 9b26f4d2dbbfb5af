"""The smallest strategic merge patch that makes one pod status of another. Pure."""

from __future__ import annotations

from typing import Any, Final

from tiphys.kubelet.lifecycle.conditions import PASSING

_MERGED_BY_TYPE: Final = "conditions"
_MERGED_BY_IP: Final = ("podIPs", "hostIPs")


def status_patch(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Fields of `new` that differ from `old`'s; null for those that went. {} when nothing differs.

    Conditions of other writers (readiness gates) are left alone: only those in `new` are sent, merged by their type.
    """
    patch: dict[str, Any] = {}
    for name in old.keys() | new.keys():
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        if name == _MERGED_BY_TYPE:
            changed = _changed_conditions(before or [], after or [])
            if changed:
                patch[name] = changed
        elif name in _MERGED_BY_IP and before and after:
            patch[name] = [*after, {"$patch": "replace"}]
        elif name in _MERGED_BY_IP and after is None:
            patch[name] = [{"$patch": "replace"}]
        else:
            patch[name] = after
    return patch


def _changed_conditions(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[dict[str, Any]]:
    before = {condition["type"]: condition for condition in old}
    changed = []
    for condition in new:
        previous = before.get(condition["type"])
        if previous == condition:
            continue
        gone: dict[str, Any] = {key: None for key in (previous or {}) if key not in condition}
        changed.append({**gone, **condition})
    kept = {condition["type"] for condition in new}
    changed.extend({"type": t, "$patch": "delete"} for t in PASSING if t in before and t not in kept)
    return changed
