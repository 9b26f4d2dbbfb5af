"""RBAC decisions, their reasons, and that they follow every change."""

from __future__ import annotations

import timeit

import pytest

from tests.unit.apiserver_authorization.cluster import (
    JANE,
    ROOT,
    account,
    authorizer,
    binding,
    cluster_binding,
    cluster_role,
    group,
    pods,
    role,
    user,
)
from tiphys.api.errors import ApiError
from tiphys.api.types.meta_v1 import LabelSelector, ObjectMeta
from tiphys.api.types.rbac_v1 import AggregationRule, ClusterRole, PolicyRule
from tiphys.apiserver.authentication.user import User
from tiphys.apiserver.authorization.attributes import Attributes, of_request
from tiphys.apiserver.authorization.bootstrap_rules import paths, rule
from tiphys.apiserver.routing import Router
from tiphys.base.http.messages import Query

READ = rule("get list", "pods")


@pytest.mark.parametrize(
    ("given", "attributes", "allowed"),
    [
        (rule("get", "pods"), pods("get", "ns", "p"), True),
        (rule("get", "pods"), pods("list", "ns"), False),
        (rule("get", "pods"), pods("get", "ns", "p", "log"), False),
        (rule("get", "pods/log"), pods("get", "ns", "p", "log"), True),
        (rule("get", "*/log"), pods("get", "ns", "p", "log"), True),
        (rule("get", "*/log"), pods("get", "ns", "p"), False),
        (rule("get", "*"), pods("get", "ns", "p", "log"), True),
        (rule("*", "pods"), pods("deletecollection", "ns"), True),
        (rule("get", "pods", "apps"), pods("get", "ns", "p"), False),
        (rule("get", "pods", "*"), pods("get", "ns", "p"), True),
        (rule("get", "pods", names="p q"), pods("get", "ns", "q"), True),
        (rule("get", "pods", names="p q"), pods("get", "ns", "r"), False),
        (rule("list", "pods", names="p"), pods("list", "ns"), False),
        (paths("get", "/healthz"), Attributes("get", path="/healthz"), True),
        (paths("get", "/healthz/*"), Attributes("get", path="/healthz/a/b"), True),
        (paths("get", "/healthz/*"), Attributes("get", path="/healthz"), False),
        (paths("*", "*"), Attributes("post", path="/anything"), True),
        (paths("get", "/healthz"), Attributes("post", path="/healthz"), False),
    ],
)
def test_what_a_rule_allows(given: PolicyRule, attributes: Attributes, allowed: bool) -> None:
    decides = authorizer(cluster_role("r", given), cluster_binding("b", "r", user("jane")))
    assert decides.allowed(JANE, attributes) is allowed
    assert decides.allowed(JANE, attributes) is allowed  # from memory
    assert decides.decide(JANE, attributes).allowed is allowed


def test_a_name_allowed_does_not_allow_others() -> None:
    decides = authorizer(cluster_role("r", rule("get", "pods", names="mine")), cluster_binding("b", "r", user("jane")))
    for _ in range(2):
        assert not decides.allowed(JANE, pods("get", "ns", "other"))
        assert decides.allowed(JANE, pods("get", "ns", "mine"))


def test_role_bindings_hold_in_their_namespace_only() -> None:
    decides = authorizer(
        role("ns", "r", READ),
        cluster_role("c", rule("get", "secrets")),
        binding("ns", "b", "r", group("dev")),
        binding("other", "b", "c", group("dev"), kind="ClusterRole"),
    )
    assert decides.allowed(JANE, pods("list", "ns"))
    assert not decides.allowed(JANE, pods("list", "other")) and not decides.allowed(JANE, pods("list"))
    assert decides.allowed(JANE, Attributes("get", "", "secrets", "", "other", "s"))
    assert not decides.allowed(JANE, Attributes("get", "", "secrets", "", "ns", "s"))


def test_service_accounts_are_subjects() -> None:
    robot = User("system:serviceaccount:ns:robot", groups=("system:serviceaccounts", "system:authenticated"))
    decides = authorizer(role("x", "r", READ), binding("x", "b", "r", account("ns", "robot")))
    assert decides.decide(robot, pods("get", "x", "p")).reason == (
        'RBAC: allowed by RoleBinding "b/x" of Role "r" to ServiceAccount "robot/ns"'
    )


def test_the_first_binding_by_name_is_the_reason() -> None:
    decides = authorizer(
        cluster_role("r", READ), cluster_binding("z", "r", user("jane")), cluster_binding("a", "r", group("dev"))
    )
    assert decides.decide(JANE, pods("get", "ns", "p")).reason == (
        'RBAC: allowed by ClusterRoleBinding "a" of ClusterRole "r" to Group "dev"'
    )


def test_every_change_is_followed() -> None:
    decides = authorizer()
    wanted = pods("get", "ns", "p")
    reader, bound = role("ns", "r", READ), binding("ns", "b", "r", user("jane"))
    assert not decides.allowed(JANE, wanted)
    decides.rbac.upsert(bound)
    assert decides.decide(JANE, wanted).reason == 'RBAC: role.rbac.authorization.k8s.io "r" not found'
    decides.rbac.upsert(reader)
    assert decides.allowed(JANE, wanted)
    decides.rbac.upsert(role("ns", "r", rule("watch", "pods")))
    assert not decides.allowed(JANE, wanted)
    decides.rbac.upsert(reader)
    decides.rbac.upsert(binding("ns", "b", "r", user("joe")))
    assert not decides.allowed(JANE, wanted)
    decides.rbac.upsert(bound)
    assert decides.allowed(JANE, wanted)
    decides.rbac.remove(bound)
    assert not decides.allowed(JANE, wanted)
    decides.rbac.upsert(bound)
    decides.rbac.remove(reader)
    assert not decides.allowed(JANE, wanted)


def test_masters_may_do_everything() -> None:
    assert authorizer().allowed(ROOT, Attributes("post", path="/anything"))


def test_sums_have_the_rules_of_their_parts_as_they_are_now() -> None:
    def labelled(name: str, label: str, *rules: PolicyRule, sums: str = "") -> ClusterRole:
        selector = LabelSelector(match_labels={sums: "true"})
        aggregation = AggregationRule(cluster_role_selectors=(selector,)) if sums else None
        meta = ObjectMeta(name=name, labels={label: "true"} if label else {})
        return ClusterRole(metadata=meta, rules=rules, aggregation_rule=aggregation)

    decides = authorizer(
        labelled("admin", "", sums="to-admin"),
        labelled("edit", "to-admin", sums="to-edit"),
        labelled("part", "to-edit", READ),
        cluster_binding("b", "admin", user("jane")),
    )
    assert decides.allowed(JANE, pods("get", "ns", "p"))
    decides.rbac.upsert(labelled("part", "to-edit", rule("watch", "pods")))
    assert not decides.allowed(JANE, pods("get", "ns", "p")) and decides.allowed(JANE, pods("watch", "ns"))
    decides.rbac.upsert(labelled("circle", "to-admin", sums="to-admin"))
    assert not decides.allowed(JANE, pods("get", "ns", "p"))


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        (
            pods("list", "y"),
            'pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "y"',
        ),
        (
            Attributes("patch", "apps", "deployments", "scale", "y", "d"),
            'deployments.apps "d" is forbidden: User "jane" cannot patch resource "deployments/scale" in API group '
            '"apps" in the namespace "y"',
        ),
        (
            Attributes("list", "", "nodes"),
            'nodes is forbidden: User "jane" cannot list resource "nodes" in API group "" at the cluster scope',
        ),
        (Attributes("get", path="/metrics"), 'forbidden: User "jane" cannot get path "/metrics"'),
    ],
)
def test_refusals_are_in_upstreams_words(attributes: Attributes, message: str) -> None:
    with pytest.raises(ApiError) as error:
        authorizer().check(JANE, attributes)
    assert (error.value.code, error.value.reason, error.value.message) == (403, "Forbidden", message)


def test_a_collection_request_for_one_name_counts_as_named() -> None:
    router = Router()
    info = router.parse("GET", "/api/v1/namespaces/ns/configmaps", "1")
    attributes = of_request(info, Query(b"watch=1&fieldSelector=metadata.name%3Dmine"))
    assert (attributes.verb, attributes.name) == ("watch", "mine")
    decides = authorizer(
        role("ns", "r", rule("watch", "configmaps", names="mine")), binding("ns", "b", "r", user("jane"))
    )
    assert decides.allowed(JANE, attributes)
    assert not decides.allowed(JANE, of_request(info, Query(b"watch=1")))


def test_a_decision_costs_less_than_five_microseconds() -> None:
    roles = [cluster_role(f"r{n}", rule("get list watch", f"things{n}", f"g{n}.example")) for n in range(60)]
    bindings = [cluster_binding(f"b{n}", f"r{n}", group("system:authenticated")) for n in range(60)]
    decides = authorizer(*roles, *bindings)
    wanted = pods("get", "ns", "p")
    assert min(timeit.repeat(lambda: decides.allowed(JANE, wanted), number=1000, repeat=5)) / 1000 < 5e-6
