"""What of a gated Pod may change: where it will run may be said more narrowly."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from tiphys.api.field_errors import FieldError, invalid
from tiphys.api.types.core_v1 import Affinity, NodeAffinity, NodeSelectorTerm, PodSpec

_TERMS: Final = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
_ONLY_ADDITIONS: Final = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"


def without_gated_changes(new: PodSpec, old: PodSpec, errors: list[FieldError]) -> PodSpec:
    """The new spec with the old one's node selector and node affinity; what of theirs is refused is appended."""
    if new.node_selector != old.node_selector:
        if any(new.node_selector.get(key) != value for key, value in old.node_selector.items()):
            selector = dict(sorted(new.node_selector.items())) or None
            errors.append(invalid("spec.nodeSelector", selector, _ONLY_ADDITIONS))
        new = replace(new, node_selector=old.node_selector)
    after = new.affinity.node_affinity if new.affinity is not None else None
    before = old.affinity.node_affinity if old.affinity is not None else None
    if after == before:
        return new
    _check_affinity(after, before, errors)
    return replace(new, affinity=_with_node_affinity(new.affinity, old.affinity, before))


def _with_node_affinity(new: Affinity | None, old: Affinity | None, before: NodeAffinity | None) -> Affinity | None:
    if new is None:
        return Affinity(node_affinity=before)
    if old is None and new.pod_affinity is None and new.pod_anti_affinity is None:
        return None
    return replace(new, node_affinity=before)


def _check_affinity(new: NodeAffinity | None, old: NodeAffinity | None, errors: list[FieldError]) -> None:
    before = old.required_during_scheduling_ignored_during_execution if old is not None else None
    if before is None:
        return
    after = new.required_during_scheduling_ignored_during_execution if new is not None else None
    terms = after.node_selector_terms if after is not None else ()
    if before.node_selector_terms and len(terms) != len(before.node_selector_terms):
        detail = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
        errors.append(invalid(_TERMS, terms or None, detail))
        return
    for index, (term, earlier) in enumerate(zip(terms, before.node_selector_terms, strict=False)):
        if not _has_only_additions(term, earlier):
            detail = "only additions are allowed (no mutations or deletions)"
            errors.append(invalid(f"{_TERMS}[{index}]", term, detail))


def _has_only_additions(new: NodeSelectorTerm, old: NodeSelectorTerm) -> bool:
    if not old.match_expressions and not old.match_fields:
        # Such a term selects nothing, and would select something.
        return not new.match_expressions and not new.match_fields
    expressions, fields = len(old.match_expressions), len(old.match_fields)
    return new.match_expressions[:expressions] == old.match_expressions and (
        new.match_fields[:fields] == old.match_fields
    )
