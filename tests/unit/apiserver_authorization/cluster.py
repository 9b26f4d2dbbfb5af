"""Roles and bindings made short, and an authorizer that has them."""

from __future__ import annotations

from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.api.types.rbac_v1 import (
    ClusterRole,
    ClusterRoleBinding,
    PolicyRule,
    Role,
    RoleBinding,
    RoleRef,
    Subject,
)
from tiphys.apiserver.authentication.user import User
from tiphys.apiserver.authorization.attributes import Attributes
from tiphys.apiserver.authorization.authorizer import Authorizer
from tiphys.apiserver.authorization.rbac import RbacAuthorizer, RbacObject

JANE = User("jane", groups=("dev", "system:authenticated"))
ROOT = User("root", groups=("system:masters", "system:authenticated"))


def cluster_role(name: str, *rules: PolicyRule) -> ClusterRole:
    return ClusterRole(metadata=ObjectMeta(name=name), rules=rules)


def role(namespace: str, name: str, *rules: PolicyRule) -> Role:
    return Role(metadata=ObjectMeta(name=name, namespace=namespace), rules=rules)


def cluster_binding(name: str, role_name: str, *subjects: Subject) -> ClusterRoleBinding:
    reference = RoleRef(kind="ClusterRole", api_group="rbac.authorization.k8s.io", name=role_name)
    return ClusterRoleBinding(metadata=ObjectMeta(name=name), role_ref=reference, subjects=subjects)


def binding(namespace: str, name: str, role_name: str, *subjects: Subject, kind: str = "Role") -> RoleBinding:
    reference = RoleRef(kind=kind, api_group="rbac.authorization.k8s.io", name=role_name)
    return RoleBinding(metadata=ObjectMeta(name=name, namespace=namespace), role_ref=reference, subjects=subjects)


def user(name: str) -> Subject:
    return Subject(kind="User", api_group="rbac.authorization.k8s.io", name=name)


def group(name: str) -> Subject:
    return Subject(kind="Group", api_group="rbac.authorization.k8s.io", name=name)


def account(namespace: str, name: str) -> Subject:
    return Subject(kind="ServiceAccount", namespace=namespace, name=name)


def authorizer(*objects: RbacObject) -> Authorizer:
    rbac = RbacAuthorizer()
    for obj in objects:
        rbac.upsert(obj)
    return Authorizer(rbac)


def pods(verb: str, namespace: str = "", name: str = "", subresource: str = "") -> Attributes:
    return Attributes(verb, "", "pods", subresource, namespace, name, "v1")
