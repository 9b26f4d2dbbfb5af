"""Nobody may grant what they have not: checked when a role or a binding is written."""

from __future__ import annotations

from collections.abc import Sequence

from tiphys.api import errors, rbac
from tiphys.api.field_errors import quote
from tiphys.api.types.rbac_v1 import ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding
from tiphys.apiserver.authentication.user import MASTERS, User
from tiphys.apiserver.authorization.attributes import Attributes
from tiphys.apiserver.authorization.authorizer import Authorizer

GROUP = "rbac.authorization.k8s.io"


def check_role(authorizer: Authorizer, user: User, role: Role | ClusterRole, old: Role | ClusterRole | None) -> None:
    """Raise ApiError 403 when `user` writes rules into `role` that they have not themselves and may not ``escalate``.
    `old` is the stored role (None for a create): what does not change its rules is not checked."""
    resource = "roles" if isinstance(role, Role) else "clusterroles"
    if old is not None and old.rules == role.rules and _aggregation(old) == _aggregation(role):
        return
    name, namespace = role.metadata.name or "", role.metadata.namespace or ""
    if _may(authorizer, user, "escalate", resource, namespace, name):
        return
    wanted = list(role.rules)
    if isinstance(role, ClusterRole) and role.aggregation_rule is not None:
        # What will be summed up is not known: only who has everything may write a sum.
        wanted.append(PolicyRule(api_groups=("*",), resources=("*",), verbs=("*",)))
        wanted.append(PolicyRule(non_resource_urls=("*",), verbs=("*",)))
    _check_held(authorizer, user, wanted, namespace, resource, name)


def check_binding(
    authorizer: Authorizer,
    user: User,
    binding: RoleBinding | ClusterRoleBinding,
    old: RoleBinding | ClusterRoleBinding | None,
) -> None:
    """Raise ApiError 403 when `user` binds a role whose rules they have not and may not ``bind``; 404 when there is no
    such role."""
    if old is not None and old.role_ref == binding.role_ref and old.subjects == binding.subjects:
        return
    namespace = binding.metadata.namespace or ""
    reference = binding.role_ref
    role_resource = "clusterroles" if reference.kind == "ClusterRole" else "roles"
    if _may(authorizer, user, "bind", role_resource, namespace, reference.name):
        return
    rules = authorizer.rbac.role_rules(reference.kind, reference.name, namespace)
    if rules is None:
        raise errors.not_found(f"{role_resource[:-1]}.{GROUP}", reference.name)
    resource = "rolebindings" if isinstance(binding, RoleBinding) else "clusterrolebindings"
    _check_held(authorizer, user, rules, namespace, resource, binding.metadata.name or "")


def _check_held(
    authorizer: Authorizer, user: User, wanted: Sequence[PolicyRule], namespace: str, resource: str, name: str
) -> None:
    missing = rbac.uncovered(authorizer.rbac.rules(user, namespace), wanted)
    if not missing:
        return
    groups = "[" + " ".join(quote(group) for group in user.groups) + "]"
    lines = "\n".join(sorted(rbac.compact(rule) for rule in rbac.merged(missing)))
    text = f"user {quote(user.name)} (groups={groups}) is attempting to grant RBAC permissions not currently held:\n"
    raise errors.forbidden(f"{resource}.{GROUP}", name, text + lines)


def _may(authorizer: Authorizer, user: User, verb: str, resource: str, namespace: str, name: str) -> bool:
    if MASTERS in user.groups:
        return True
    return authorizer.allowed(user, Attributes(verb, GROUP, resource, "", namespace, name, "v1"))


def _aggregation(role: Role | ClusterRole) -> object:
    return role.aggregation_rule if isinstance(role, ClusterRole) else None
