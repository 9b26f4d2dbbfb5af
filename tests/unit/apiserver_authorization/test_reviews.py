"""Access reviews, and that nobody grants what they have not."""

from __future__ import annotations

import pytest

from tests.unit.apiserver_authorization.cluster import (
    JANE,
    ROOT,
    authorizer,
    binding,
    cluster_binding,
    cluster_role,
    role,
    user,
)
from tiphys.api.errors import ApiError
from tiphys.api.types.authorization_v1 import (
    LocalSubjectAccessReview,
    NonResourceAttributes,
    ResourceAttributes,
    SelfSubjectAccessReview,
    SelfSubjectAccessReviewSpec,
    SelfSubjectRulesReview,
    SelfSubjectRulesReviewSpec,
    SubjectAccessReview,
    SubjectAccessReviewSpec,
)
from tiphys.apiserver.authorization import escalation, reviews
from tiphys.apiserver.authorization.bootstrap_rules import paths, rule

GET_POD = ResourceAttributes(verb="get", resource="pods", namespace="ns")
DECIDES = authorizer(
    role("ns", "r", rule("get", "pods")),
    binding("ns", "rb", "r", user("jane")),
    cluster_role("paths", paths("get", "/metrics")),
    cluster_binding("paths", "paths", user("jane")),
)


def test_who_may_do_what() -> None:
    asked = SubjectAccessReview(spec=SubjectAccessReviewSpec(user="jane", resource_attributes=GET_POD))
    status = reviews.subject_access_review(asked, DECIDES).status
    assert status.allowed and status.reason == 'RBAC: allowed by RoleBinding "rb/ns" of Role "r" to User "jane"'
    asked = SubjectAccessReview(spec=SubjectAccessReviewSpec(user="joe", resource_attributes=GET_POD))
    status = reviews.subject_access_review(asked, DECIDES).status
    assert not status.allowed and status.reason is None
    path = NonResourceAttributes(verb="get", path="/metrics")
    asked = SubjectAccessReview(spec=SubjectAccessReviewSpec(user="jane", non_resource_attributes=path))
    assert reviews.subject_access_review(asked, DECIDES).status.allowed


def test_may_i_and_what_may_i() -> None:
    mine = SelfSubjectAccessReview(spec=SelfSubjectAccessReviewSpec(resource_attributes=GET_POD))
    assert reviews.self_subject_access_review(mine, JANE, DECIDES).status.allowed
    rules = SelfSubjectRulesReview(spec=SelfSubjectRulesReviewSpec(namespace="ns"))
    answer = reviews.self_subject_rules_review(rules, JANE, DECIDES)
    assert [one.resources for one in answer.status.resource_rules] == [("pods",)]
    assert [one.non_resource_urls for one in answer.status.non_resource_rules] == [("/metrics",)]
    assert not answer.status.incomplete and answer.spec.namespace is None
    everything = reviews.self_subject_rules_review(rules, ROOT, DECIDES).status
    assert everything.resource_rules[0].verbs == ("*",)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            SubjectAccessReviewSpec(user="x"),
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        ),
        (SubjectAccessReviewSpec(resource_attributes=GET_POD), "at least one of user or group must be specified"),
        (
            SubjectAccessReviewSpec(
                user="x", resource_attributes=GET_POD, non_resource_attributes=NonResourceAttributes(path="/")
            ),
            "cannot be specified in combination with resourceAttributes",
        ),
    ],
)
def test_reviews_that_make_no_sense(spec: SubjectAccessReviewSpec, message: str) -> None:
    with pytest.raises(ApiError) as error:
        reviews.subject_access_review(SubjectAccessReview(spec=spec), DECIDES)
    assert error.value.code == 422 and message in error.value.message


def test_local_reviews_are_about_their_namespace() -> None:
    asked = LocalSubjectAccessReview(spec=SubjectAccessReviewSpec(user="jane", resource_attributes=GET_POD))
    assert reviews.local_subject_access_review(asked, "ns", DECIDES).status.allowed
    with pytest.raises(ApiError, match=r"must match metadata\.namespace"):
        reviews.local_subject_access_review(asked, "other", DECIDES)


GRANTER = authorizer(
    role("ns", "own", rule("get list", "pods"), rule("create update", "roles", "rbac.authorization.k8s.io")),
    binding("ns", "own", "own", user("jane")),
    role("ns", "strong", rule("delete", "secrets")),
    role("ns", "weak", rule("get", "pods")),
    role("free", "any", rule("escalate bind", "roles", "rbac.authorization.k8s.io")),
    binding("free", "any", "any", user("jane")),
)


def test_a_role_may_hold_only_what_its_writer_has() -> None:
    escalation.check_role(GRANTER, JANE, role("ns", "new", rule("get", "pods")), None)
    escalation.check_role(GRANTER, ROOT, role("ns", "new", rule("*", "*", "*")), None)
    with pytest.raises(ApiError) as error:
        escalation.check_role(GRANTER, JANE, role("ns", "new", rule("get delete watch", "pods")), None)
    missing = '{APIGroups:[""], Resources:["pods"], Verbs:["delete" "watch"]}'
    assert error.value.message.endswith(f"not currently held:\n{missing}")


def test_unchanged_rules_are_not_checked_again() -> None:
    old = role("ns", "strong", rule("delete", "secrets"))
    escalation.check_role(GRANTER, JANE, old, old)


def test_escalate_and_bind_lift_the_check() -> None:
    escalation.check_role(GRANTER, JANE, role("free", "new", rule("delete", "secrets")), None)
    free = binding("free", "b", "any", user("joe"))
    escalation.check_binding(GRANTER, JANE, free, None)


def test_a_binding_may_give_only_what_its_writer_has() -> None:
    escalation.check_binding(GRANTER, JANE, binding("ns", "b", "weak", user("joe")), None)
    with pytest.raises(ApiError) as error:
        escalation.check_binding(GRANTER, JANE, binding("ns", "b", "strong", user("joe")), None)
    assert error.value.message == (
        'rolebindings.rbac.authorization.k8s.io "b" is forbidden: user "jane" (groups=["dev" "system:authenticated"]) '
        "is attempting to grant RBAC permissions not currently held:\n"
        '{APIGroups:[""], Resources:["secrets"], Verbs:["delete"]}'
    )
    with pytest.raises(ApiError) as error:
        escalation.check_binding(GRANTER, JANE, binding("ns", "b", "gone", user("joe")), None)
    assert error.value.code == 404
