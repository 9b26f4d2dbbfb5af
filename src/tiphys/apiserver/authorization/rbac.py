"""RBAC: roles and bindings indexed by subject, rules compiled per user, decisions remembered until either changes.

    upsert/remove (watch events) -> indexes by subject -> Grants of a user (built at its first request)
                                                       -> decision, remembered in the Grants
A change of a role or binding forgets all Grants: they are rebuilt from the indexes when asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple, TypeAlias

import msgspec

from tiphys.api import rbac
from tiphys.api.field_errors import quote
from tiphys.api.types.rbac_v1 import ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, Subject
from tiphys.apiserver.authentication.user import User, service_account_name
from tiphys.apiserver.authorization.attributes import Attributes, Decision

RbacObject: TypeAlias = ClusterRole | Role | ClusterRoleBinding | RoleBinding
Binding: TypeAlias = ClusterRoleBinding | RoleBinding

MAX_REMEMBERED_USERS: Final = 1024
MAX_REMEMBERED_DECISIONS: Final = 4096  # a user


class Grant(NamedTuple):
    """A rule and the binding that gives it."""

    rule: PolicyRule
    binding: Binding
    subject: Subject


class Grants:
    """What one user has: cluster-wide grants, and per namespace those of its bindings. `broken` holds complaints about
    bindings to roles that do not exist, by namespace ("" for cluster bindings)."""

    __slots__ = ("broken", "by_namespace", "cluster", "decisions")

    def __init__(self) -> None:
        self.cluster: list[Grant] = []
        self.by_namespace: dict[str, list[Grant]] = {}
        self.broken: dict[str, list[str]] = {}
        self.decisions: dict[tuple[str, ...], bool] = {}

    def applying(self, namespace: str) -> Iterator[Grant]:
        """The grants that count for requests in `namespace` ("" for the cluster scope)."""
        yield from self.cluster
        if namespace:
            yield from self.by_namespace.get(namespace, ())


class RbacAuthorizer:
    """Decides by the roles and bindings it was told of. Not thread-safe: it belongs to the event loop."""

    def __init__(self) -> None:
        self._roles: dict[tuple[str, str], Role | ClusterRole] = {}  # (namespace or "", name)
        self._bindings: dict[tuple[str, str], Binding] = {}
        # A subject is "U:" + user name or "G:" + group; service accounts are users.
        self._by_subject: dict[str, dict[tuple[str, str], Subject]] = {}
        self._grants: dict[tuple[str, tuple[str, ...]], Grants] = {}

    # Following the objects.

    def upsert(self, obj: RbacObject) -> None:
        """A role or binding was added or changed."""
        self._grants.clear()
        key = (obj.metadata.namespace or "", obj.metadata.name or "")
        if isinstance(obj, Role | ClusterRole):
            self._roles[key] = obj
            return
        self._unindex(key)
        self._bindings[key] = obj
        for subject in obj.subjects:
            self._by_subject.setdefault(_subject_key(subject, key[0]), {}).setdefault(key, subject)

    def remove(self, obj: RbacObject) -> None:
        """A role or binding is gone; unknown ones are ignored."""
        self._grants.clear()
        key = (obj.metadata.namespace or "", obj.metadata.name or "")
        if isinstance(obj, Role | ClusterRole):
            self._roles.pop(key, None)
        else:
            self._unindex(key)
            self._bindings.pop(key, None)

    def _unindex(self, key: tuple[str, str]) -> None:
        old = self._bindings.get(key)
        if old is None:
            return
        for subject in old.subjects:
            subject_key = _subject_key(subject, key[0])
            bound = self._by_subject.get(subject_key)
            if bound is not None:
                bound.pop(key, None)
                if not bound:
                    del self._by_subject[subject_key]

    # Deciding.

    def allowed(self, user: User, attributes: Attributes) -> bool:
        """The decision alone, remembered."""
        grants = self.grants(user)
        decisions = grants.decisions
        # Most rules name no objects: the decision without the name serves every name.
        key: tuple[str, ...] = attributes[:5] if attributes.resource else (attributes.verb, attributes.path)
        found = decisions.get(key)
        if found is None:
            found = self._remember(grants, key, attributes._replace(name=""))
        if found or not attributes.name or not attributes.resource:
            return found
        named = attributes[:6]
        found = decisions.get(named)
        return self._remember(grants, named, attributes) if found is None else found

    def _remember(self, grants: Grants, key: tuple[str, ...], attributes: Attributes) -> bool:
        if len(grants.decisions) >= MAX_REMEMBERED_DECISIONS:
            grants.decisions.clear()
        grants.decisions[key] = found = _matching(grants, attributes) is not None
        return found

    def decide(self, user: User, attributes: Attributes) -> Decision:
        """The decision with its reason, in upstream's words."""
        grants = self.grants(user)
        grant = _matching(grants, attributes)
        if grant is not None:
            return Decision(True, _reason(grant))
        broken = [
            *grants.broken.get("", ()),
            *(grants.broken.get(attributes.namespace, ()) if attributes.namespace else ()),
        ]
        if not broken:
            return Decision(False)
        return Decision(False, "RBAC: " + (broken[0] if len(broken) == 1 else f"[{', '.join(broken)}]"))

    def rules(self, user: User, namespace: str) -> list[PolicyRule]:
        """Every rule that holds for `user` in `namespace` ("" for the cluster scope)."""
        return [grant.rule for grant in self.grants(user).applying(namespace)]

    def role_rules(self, kind: str, name: str, namespace: str) -> tuple[PolicyRule, ...] | None:
        """The rules of a role as a binding in `namespace` refers to it; None if there is no such role."""
        role = self._roles.get(("" if kind == "ClusterRole" else namespace, name))
        if role is None:
            return None
        if isinstance(role, ClusterRole) and role.aggregation_rule is not None:
            return self._aggregated(role, frozenset())
        return role.rules

    def _aggregated(self, role: ClusterRole, above: frozenset[str]) -> tuple[PolicyRule, ...]:
        """A sum's rules as its parts have them now, whether or not they were written into it yet. `above` are the sums
        this one is a part of: a circle ends there."""
        name = role.metadata.name or ""
        parts = []
        for (namespace, _), other in self._roles.items():
            if namespace or not isinstance(other, ClusterRole) or (other.metadata.name or "") in above:
                continue
            if other.aggregation_rule is not None and other is not role and rbac.aggregates(role, other):
                rules = self._aggregated(other, above | {name})
                other = msgspec.structs.replace(other, rules=rules, aggregation_rule=None)
            parts.append(other)
        found = rbac.aggregated_rules(role, parts)
        return found + tuple(rule for rule in role.rules if rule not in found)

    def grants(self, user: User) -> Grants:
        """What `user` has, from memory if nothing changed."""
        key = (user.name, user.groups)
        found = self._grants.get(key)
        if found is None:
            if len(self._grants) >= MAX_REMEMBERED_USERS:
                self._grants.clear()
            found = self._grants[key] = self._collect(user)
        return found

    def _collect(self, user: User) -> Grants:
        grants = Grants()
        bound: dict[tuple[str, str], Subject] = {}
        for subject_key in (f"U:{user.name}", *(f"G:{group}" for group in user.groups)):
            for key, subject in self._by_subject.get(subject_key, {}).items():
                bound.setdefault(key, subject)
        for key in sorted(bound):
            self._add(grants, key[0], self._bindings[key], bound[key])
        return grants

    def _add(self, grants: Grants, namespace: str, binding: Binding, subject: Subject) -> None:
        reference = binding.role_ref
        rules = self.role_rules(reference.kind, reference.name, namespace)
        if rules is None:
            what = f"{reference.kind.lower()}.rbac.authorization.k8s.io {quote(reference.name)} not found"
            grants.broken.setdefault(namespace, []).append(what)
            return
        into = grants.by_namespace.setdefault(namespace, []) if namespace else grants.cluster
        into.extend(Grant(rule, binding, subject) for rule in rules)


def _matching(grants: Grants, attributes: Attributes) -> Grant | None:
    verb, group, resource, subresource, namespace, name = attributes[:6]
    if not resource:
        path = attributes.path
        return next((grant for grant in grants.cluster if rbac.allows_path(grant.rule, verb, path)), None)
    for grant in grants.applying(namespace):
        if rbac.allows_resource(grant.rule, verb, group, resource, subresource, name):
            return grant
    return None


def _subject_key(subject: Subject, namespace: str) -> str:
    if subject.kind == "Group":
        return f"G:{subject.name}"
    if subject.kind == "ServiceAccount":
        return f"U:{service_account_name(subject.namespace or namespace, subject.name)}"
    return f"U:{subject.name}"


def _reason(grant: Grant) -> str:
    binding, subject = grant.binding, grant.subject
    name = binding.metadata.name or ""
    place = f"{name}/{binding.metadata.namespace}" if binding.metadata.namespace else name
    who = f"{subject.name}/{subject.namespace}" if subject.kind == "ServiceAccount" else subject.name
    role = f"{binding.role_ref.kind} {quote(binding.role_ref.name)}"
    return f"RBAC: allowed by {binding.kind} {quote(place)} of {role} to {subject.kind} {quote(who)}"
