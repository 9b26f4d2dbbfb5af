"""The roles and bindings every cluster starts with: upstream's, and two of our own.

Our own: one process runs all controllers under one identity, so `tiphys:controllers` gives it what upstream spreads
over a service account each; `tiphys:dns` is what the cluster DNS may do, which upstream leaves to its add-on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tiphys.api.certificate_requests import API_SERVER_CLIENT, KUBELET_SERVING
from tiphys.api.types.meta_v1 import LabelSelector
from tiphys.api.types.rbac_v1 import (
    AggregationRule,
    ClusterRole,
    ClusterRoleBinding,
    PolicyRule,
    Role,
    RoleBinding,
    RoleRef,
    Subject,
)
from tiphys.apiserver.authorization import bootstrap_joining as joining
from tiphys.apiserver.authorization.bootstrap_bindings import (
    RBAC_GROUP,
    account,
    bind,
    granted,
    group,
    meta,
    user,
)
from tiphys.apiserver.authorization.bootstrap_component_roles import COMPONENT_ROLES
from tiphys.apiserver.authorization.bootstrap_controller_roles import CONTROLLER_ROLES
from tiphys.apiserver.authorization.bootstrap_rules import rule
from tiphys.apiserver.authorization.bootstrap_user_roles import USER_ROLES
from tiphys.apiserver.authorization.rbac import RbacObject

CONTROLLER_PREFIX: Final = "system:controller:"
_AGGREGATE: Final = "rbac.authorization.k8s.io/aggregate-to-"

# Role to the role it is summed up into, and the roles that are such sums.
_AGGREGATED_INTO: Final = {
    "edit": "admin",
    "system:aggregate-to-admin": "admin",
    "view": "edit",
    "system:aggregate-to-edit": "edit",
    "system:aggregate-to-view": "view",
}
_SUMS: Final = frozenset(_AGGREGATED_INTO.values())

_EVENTS: Final = rule("create patch update", "events", "core events.k8s.io")
_LOCKS: Final = (
    rule("create get list update watch", "leases", "coordination.k8s.io"),
    rule("create get list update watch", "leasecandidates", "coordination.k8s.io"),
)
NAMESPACED_ROLES: Final[dict[tuple[str, str], tuple[PolicyRule, ...]]] = {
    ("kube-public", "system:controller:bootstrap-signer"): (
        rule("get list watch", "configmaps"),
        rule("update", "configmaps", names="cluster-info"),
        _EVENTS,
    ),
    ("kube-system", "extension-apiserver-authentication-reader"): (
        rule("get list watch", "configmaps", names="extension-apiserver-authentication"),
    ),
    ("kube-system", "system::leader-locking-kube-controller-manager"): _LOCKS,
    ("kube-system", "system::leader-locking-kube-scheduler"): _LOCKS,
    ("kube-system", "system:controller:bootstrap-signer"): (rule("get list watch", "secrets"),),
    ("kube-system", "system:controller:cloud-provider"): (rule("create get list watch", "configmaps"),),
    ("kube-system", "system:controller:token-cleaner"): (rule("delete get list watch", "secrets"), _EVENTS),
}


# The Ingress controller reads certificates, and writes the proxies' configuration, which holds their keys, to a Secret.
_INGRESS_RULES: Final = (
    rule("get list watch", "ingresses ingressclasses", "networking.k8s.io"),
    rule("patch update", "ingresses/status", "networking.k8s.io"),
    rule("create get list watch", "secrets"),
    rule("update", "secrets", names="ingress-config"),
)
# Nodes enforce NetworkPolicies with the proxy's identity: whom they let in depends on pods anywhere.
_POLICY_RULES: Final = (
    rule("list watch", "networkpolicies", "networking.k8s.io"),
    rule("list watch", "pods namespaces"),
)
_MANAGER: Final = user("system:kube-controller-manager")
_SCHEDULER: Final = user("system:kube-scheduler")
_EVERYONE: Final = group("system:authenticated")

# Cluster role to who has it; each binding has its role's name.
_CLUSTER_SUBJECTS: Final[dict[str, tuple[Subject, ...]]] = {
    "cluster-admin": (group("system:masters"),),
    "system:basic-user": (_EVERYONE,),
    "system:discovery": (_EVERYONE,),
    "system:kube-controller-manager": (_MANAGER,),
    "system:kube-dns": (account("kube-dns"),),
    "system:kube-scheduler": (_SCHEDULER,),
    "system:monitoring": (group("system:monitoring"),),
    "system:node": (),  # the node authorizer decides for nodes
    "system:node-proxier": (user("system:kube-proxy"),),
    "system:public-info-viewer": (_EVERYONE, group("system:unauthenticated")),
    "system:service-account-issuer-discovery": (group("system:serviceaccounts"),),
    "system:volume-scheduler": (_SCHEDULER,),
}

# (namespace, binding) to its role and who has it.
_ROLE_SUBJECTS: Final[dict[tuple[str, str], tuple[str, tuple[Subject, ...]]]] = {
    ("kube-public", "system:controller:bootstrap-signer"): (
        "system:controller:bootstrap-signer",
        (account("bootstrap-signer"),),
    ),
    ("kube-system", "system::extension-apiserver-authentication-reader"): (
        "extension-apiserver-authentication-reader",
        (_MANAGER, _SCHEDULER),
    ),
    ("kube-system", "system::leader-locking-kube-controller-manager"): (
        "system::leader-locking-kube-controller-manager",
        (_MANAGER, account("kube-controller-manager"), account("leader-election-controller")),
    ),
    ("kube-system", "system::leader-locking-kube-scheduler"): (
        "system::leader-locking-kube-scheduler",
        (_SCHEDULER, account("kube-scheduler")),
    ),
    **{
        ("kube-system", f"{CONTROLLER_PREFIX}{name}"): (f"{CONTROLLER_PREFIX}{name}", (account(name),))
        for name in ("bootstrap-signer", "cloud-provider", "token-cleaner")
    },
}


def objects() -> list[RbacObject]:
    """All of them, roles before the bindings to them."""
    return [*_cluster_roles(), *_roles(), *_cluster_bindings(), *_role_bindings(), *_own()]


def node_rules() -> tuple[PolicyRule, ...]:
    """What every node may do, as far as it is about its own."""
    return COMPONENT_ROLES["system:node"]


def _cluster_roles() -> Iterator[ClusterRole]:
    for name, rules in (USER_ROLES | COMPONENT_ROLES).items():
        into = _AGGREGATED_INTO.get(name)
        labels = {f"{_AGGREGATE}{into}": "true"} if into else None
        selector = LabelSelector(match_labels={f"{_AGGREGATE}{name}": "true"})
        aggregation = AggregationRule(cluster_role_selectors=(selector,)) if name in _SUMS else None
        yield ClusterRole(metadata=meta(name, labels=labels), rules=rules, aggregation_rule=aggregation)
    for name, rules in CONTROLLER_ROLES.items():
        yield ClusterRole(metadata=meta(f"{CONTROLLER_PREFIX}{name}"), rules=rules)


def _roles() -> Iterator[Role]:
    for (namespace, name), rules in NAMESPACED_ROLES.items():
        yield Role(metadata=meta(name, namespace), rules=rules)


def _cluster_bindings() -> Iterator[ClusterRoleBinding]:
    for name, subjects in _CLUSTER_SUBJECTS.items():
        yield bind(name, subjects)
    for name in CONTROLLER_ROLES:
        yield bind(f"{CONTROLLER_PREFIX}{name}", (account(name),))


def _role_bindings() -> Iterator[RoleBinding]:
    for (namespace, name), (role, subjects) in _ROLE_SUBJECTS.items():
        reference = RoleRef(kind="Role", api_group=RBAC_GROUP, name=role)
        yield RoleBinding(metadata=meta(name, namespace), role_ref=reference, subjects=subjects)


def _own() -> Iterator[RbacObject]:
    # Upstream leaves what kubelets serve with to be approved by people; here it is held against the Node.
    serving = rule("approve", "signers", "certificates.k8s.io", names=f"{KUBELET_SERVING} {API_SERVER_CLIENT}")
    rules: list[PolicyRule] = [serving]
    for controller_rules in CONTROLLER_ROLES.values():
        rules.extend(one for one in controller_rules if one not in rules)
    yield ClusterRole(metadata=meta("tiphys:controllers"), rules=tuple(rules))
    yield bind("tiphys:controllers", (_MANAGER,))
    yield ClusterRole(metadata=meta("tiphys:ingress"), rules=_INGRESS_RULES)
    yield bind("tiphys:ingress", (_MANAGER,))
    yield ClusterRole(metadata=meta("tiphys:network-policies"), rules=_POLICY_RULES)
    yield bind("tiphys:network-policies", (user("system:kube-proxy"),))
    slices = rule("get list watch", "endpointslices", "discovery.k8s.io")
    rest = rule("get list watch", "services nodes")
    yield ClusterRole(metadata=meta("tiphys:dns"), rules=(slices, rest))
    yield bind("tiphys:dns", (account("kube-dns"),))
    # The server publishes itself as an endpoint of its Service, at the address its node's pods reach it by.
    own = rule("create update", "endpointslices", "discovery.k8s.io")
    yield from granted("kube-system", "tiphys:dns", (own,), (account("kube-dns"),))
    yield from joining.objects()
