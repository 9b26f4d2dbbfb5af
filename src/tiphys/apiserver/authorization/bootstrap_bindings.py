"""How the roles and bindings every cluster starts with are written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.api.types.rbac_v1 import ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject

RBAC_GROUP: Final = "rbac.authorization.k8s.io"
AUTOUPDATE: Final = "rbac.authorization.kubernetes.io/autoupdate"


def meta(name: str, namespace: str | None = None, labels: dict[str, str] | None = None) -> ObjectMeta:
    """Labelled and annotated as upstream's bootstrap objects."""
    return ObjectMeta(
        name=name,
        namespace=namespace,
        labels={"kubernetes.io/bootstrapping": "rbac-defaults", **(labels or {})},
        annotations={AUTOUPDATE: "true"},
    )


def group(name: str) -> Subject:
    return Subject(kind="Group", api_group=RBAC_GROUP, name=name)


def user(name: str) -> Subject:
    return Subject(kind="User", api_group=RBAC_GROUP, name=name)


def account(name: str) -> Subject:
    """A service account of kube-system."""
    return Subject(kind="ServiceAccount", name=name, namespace="kube-system")


def bind(role: str, subjects: tuple[Subject, ...], name: str = "") -> ClusterRoleBinding:
    """A cluster role for `subjects`; the binding has the role's name if it is given none."""
    reference = RoleRef(kind="ClusterRole", api_group=RBAC_GROUP, name=role)
    return ClusterRoleBinding(metadata=meta(name or role), role_ref=reference, subjects=subjects)


def granted(
    namespace: str, name: str, rules: tuple[PolicyRule, ...], subjects: tuple[Subject, ...]
) -> Iterator[Role | RoleBinding]:
    """A role of one namespace and its binding of the same name."""
    yield Role(metadata=meta(name, namespace), rules=rules)
    reference = RoleRef(kind="Role", api_group=RBAC_GROUP, name=name)
    yield RoleBinding(metadata=meta(name, namespace), role_ref=reference, subjects=subjects)
