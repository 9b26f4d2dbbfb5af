"""Whose names are whose: which of a definition's names it has, and its conditions. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec.structs import replace

from tiphys.api import field_errors
from tiphys.api.types.apiextensions_v1 import (
    CustomResourceDefinition,
    CustomResourceDefinitionCondition,
    CustomResourceDefinitionNames,
    CustomResourceDefinitionStatus,
)

NAMES_ACCEPTED: Final = "NamesAccepted"
ESTABLISHED: Final = "Established"
TERMINATING: Final = "Terminating"
CONFORMANT: Final = "KubernetesAPIApprovalPolicyConformant"
APPROVAL: Final = "api-approved.kubernetes.io"
_PROTECTED: Final = ("k8s.io", "kubernetes.io")


def accepted(definition: CustomResourceDefinition, others: Iterable[CustomResourceDefinition], now: str) -> None:
    """Give a definition the names that no other of its group has, and say so in its status.

    Established is for ever: a definition that loses a name later is served under those it has.
    """
    wanted = definition.spec.names
    had = definition.status.accepted_names or CustomResourceDefinitionNames()
    resources, kinds = _taken(definition, others)
    new, problem = had, ("", "")
    for field, reason, taken in (
        ("plural", "PluralConflict", resources),
        ("singular", "SingularConflict", resources),
        ("short_names", "ShortNamesConflict", resources),
        ("kind", "KindConflict", kinds),
        ("list_kind", "ListKindConflict", kinds),
    ):
        asked, mine = getattr(wanted, field), getattr(had, field)
        names, own = (asked, mine) if isinstance(asked, tuple) else ((asked,), (mine,))
        lost = [name for name in names if name and name not in own and name in taken]
        if lost:
            texts = [f"{field_errors.quote(name)} is already in use" for name in lost]
            problem = (reason, texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")
        else:
            new = replace(new, **{field: asked})
    new = replace(new, categories=wanted.categories)
    conditions = _by_type(definition)
    if problem[0]:
        _set(conditions, NAMES_ACCEPTED, "False", *problem, now)
        if ESTABLISHED not in conditions:
            _set(conditions, ESTABLISHED, "False", "NotAccepted", "not all names are accepted", now)
    else:
        _set(conditions, NAMES_ACCEPTED, "True", "NoConflicts", "no conflicts found", now)
        if not is_established(definition):
            text = "the initial names have been accepted"
            _set(conditions, ESTABLISHED, "True", "InitialNamesAccepted", text, now)
    if is_protected(definition.spec.group):
        _set(conditions, CONFORMANT, *_approval(definition), now)
    definition.status = CustomResourceDefinitionStatus(
        accepted_names=new, conditions=tuple(conditions.values()), stored_versions=definition.status.stored_versions
    )


def terminating(definition: CustomResourceDefinition, status: str, reason: str, message: str, now: str) -> None:
    """Say how the deletion of its objects goes."""
    conditions = _by_type(definition)
    _set(conditions, TERMINATING, status, reason, message, now)
    definition.status = replace(definition.status, conditions=tuple(conditions.values()))


def is_established(definition: CustomResourceDefinition) -> bool:
    return any(c.type == ESTABLISHED and c.status == "True" for c in definition.status.conditions)


def is_protected(group: str) -> bool:
    """True for groups that belong to Kubernetes' community."""
    return any(group == domain or group.endswith(f".{domain}") for domain in _PROTECTED)


def _taken(
    definition: CustomResourceDefinition, others: Iterable[CustomResourceDefinition]
) -> tuple[frozenset[str], frozenset[str]]:
    """The names of resources and of kinds that the group's other definitions have."""
    resources: set[str] = set()
    kinds: set[str] = set()
    for other in others:
        if other.spec.group != definition.spec.group or other.metadata.name == definition.metadata.name:
            continue
        names = other.status.accepted_names or CustomResourceDefinitionNames()
        resources |= {names.plural, names.singular or "", *names.short_names}
        kinds |= {names.kind, names.list_kind or ""}
    return frozenset(resources - {""}), frozenset(kinds - {""})


def _approval(definition: CustomResourceDefinition) -> tuple[str, str, str]:
    text = definition.metadata.annotations.get(APPROVAL, "")
    quoted = field_errors.quote(APPROVAL)
    if text.startswith("unapproved"):
        return "False", "UnapprovedAnnotation", f"not approved: {field_errors.quote(text)}"
    if text.startswith("https://"):
        return "True", "ApprovedAnnotation", f"approved in {text}"
    if not text:
        link = "https://github.com/kubernetes/enhancements/pull/1111"
        return "False", "MissingAnnotation", f"protected groups must have approval annotation {quoted}, see {link}"
    return "False", "InvalidAnnotation", f"protected groups must have approval annotation {quoted} with a URL"


def _by_type(definition: CustomResourceDefinition) -> dict[str, CustomResourceDefinitionCondition]:
    return {condition.type: condition for condition in definition.status.conditions}


def _set(
    conditions: dict[str, CustomResourceDefinitionCondition],
    kind: str,
    status: str,
    reason: str,
    message: str,
    now: str,
) -> None:
    """Set a condition; its time moves with its status alone."""
    before: Mapping[str, CustomResourceDefinitionCondition] = conditions
    found = before.get(kind)
    since = found.last_transition_time if found is not None and found.status == status else now
    conditions[kind] = CustomResourceDefinitionCondition(
        type=kind, status=status, reason=reason, message=message, last_transition_time=since
    )
