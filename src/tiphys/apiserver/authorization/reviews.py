"""Access reviews: may somebody do something, and what may I do."""

from __future__ import annotations

import msgspec
from msgspec import to_builtins

from tiphys.api import errors
from tiphys.api.field_errors import FieldError, forbidden, invalid, required
from tiphys.api.types.authorization_v1 import (
    FieldSelectorAttributes,
    LabelSelectorAttributes,
    LocalSubjectAccessReview,
    NonResourceAttributes,
    NonResourceRule,
    ResourceAttributes,
    ResourceRule,
    SelfSubjectAccessReview,
    SelfSubjectRulesReview,
    SelfSubjectRulesReviewSpec,
    SubjectAccessReview,
    SubjectAccessReviewSpec,
    SubjectAccessReviewStatus,
    SubjectRulesReviewStatus,
)
from tiphys.api.types.meta_v1 import FieldSelectorRequirement, LabelSelectorRequirement, ObjectMeta
from tiphys.api.types.rbac_v1 import PolicyRule
from tiphys.apiserver.authentication.user import MASTERS, User
from tiphys.apiserver.authorization.attributes import Attributes
from tiphys.apiserver.authorization.authorizer import Authorizer

_GROUP = "authorization.k8s.io"


def subject_access_review(review: SubjectAccessReview, authorizer: Authorizer) -> SubjectAccessReview:
    """`review` with its status. Raises ApiError 422 for one that asks nothing, or about nobody."""
    problems = [*_subject_problems(review.spec), *_metadata_problems(review.metadata)]
    _refuse("SubjectAccessReview", problems)
    return msgspec.structs.replace(review, status=_status(authorizer, _subject(review.spec), review.spec))


def local_subject_access_review(
    review: LocalSubjectAccessReview, namespace: str, authorizer: Authorizer
) -> LocalSubjectAccessReview:
    """As `subject_access_review`, about `namespace` only."""
    problems = [*_subject_problems(review.spec), *_metadata_problems(review.metadata, namespace)]
    resource, path = review.spec.resource_attributes, review.spec.non_resource_attributes
    if resource is not None and (resource.namespace or "") != namespace:
        where = "spec.resourceAttributes.namespace"
        problems.append(invalid(where, resource.namespace or "", "must match metadata.namespace"))
    if path is not None:
        problems.append(invalid("spec.nonResourceAttributes", to_builtins(path), "disallowed on this kind of request"))
    _refuse("LocalSubjectAccessReview", problems)
    return msgspec.structs.replace(review, status=_status(authorizer, _subject(review.spec), review.spec))


def self_subject_access_review(
    review: SelfSubjectAccessReview, user: User, authorizer: Authorizer
) -> SelfSubjectAccessReview:
    """May I."""
    spec = review.spec
    problems = _problems(spec.resource_attributes, spec.non_resource_attributes)
    _refuse("SelfSubjectAccessReview", [*problems, *_metadata_problems(review.metadata)])
    asked = SubjectAccessReviewSpec(
        resource_attributes=spec.resource_attributes, non_resource_attributes=spec.non_resource_attributes
    )
    return msgspec.structs.replace(review, status=_status(authorizer, user, asked))


def self_subject_rules_review(
    review: SelfSubjectRulesReview, user: User, authorizer: Authorizer
) -> SelfSubjectRulesReview:
    """What I may do in a namespace, as far as rules tell it. Raises ApiError 400 without a namespace."""
    namespace = review.spec.namespace or ""
    if not namespace:
        raise errors.bad_request("no namespace on request")
    rules = authorizer.rbac.rules(user, namespace)
    if MASTERS in user.groups:
        everything = PolicyRule(verbs=("*",), api_groups=("*",), resources=("*",))
        rules = [everything, PolicyRule(verbs=("*",), non_resource_urls=("*",)), *rules]
    resource_rules = tuple(
        ResourceRule(
            verbs=rule.verbs, api_groups=rule.api_groups, resources=rule.resources, resource_names=rule.resource_names
        )
        for rule in rules
        if rule.resources
    )
    path_rules = tuple(
        NonResourceRule(verbs=rule.verbs, non_resource_urls=rule.non_resource_urls)
        for rule in rules
        if rule.non_resource_urls
    )
    incomplete = bool(user.node_name)  # nodes have more than rules tell
    status = SubjectRulesReviewStatus(
        resource_rules=resource_rules,
        non_resource_rules=path_rules,
        incomplete=incomplete,
        evaluation_error="node authorizer does not support user rule resolution" if incomplete else None,
    )
    return msgspec.structs.replace(review, spec=SelfSubjectRulesReviewSpec(), status=status)


def _subject(spec: SubjectAccessReviewSpec) -> User:
    return User(spec.user or "", spec.uid or "", spec.groups, spec.extra)


def _status(authorizer: Authorizer, user: User, spec: SubjectAccessReviewSpec) -> SubjectAccessReviewStatus:
    resource, path = spec.resource_attributes, spec.non_resource_attributes
    if resource is not None:
        attributes = _of_resource(resource)
    else:
        asked = path or NonResourceAttributes()
        attributes = Attributes(asked.verb or "", path=asked.path or "")
    decision = authorizer.decide(user, attributes)
    return SubjectAccessReviewStatus(allowed=decision.allowed, reason=decision.reason or None)


def _of_resource(asked: ResourceAttributes) -> Attributes:
    selector = asked.field_selector
    text = ""
    if selector is not None:
        parts = [f"{one.key}={one.values[0]}" for one in selector.requirements if one.operator == "In" and one.values]
        text = selector.raw_selector or ",".join(parts)
    return Attributes(
        asked.verb or "",
        asked.group or "",
        asked.resource or "",
        asked.subresource or "",
        asked.namespace or "",
        asked.name or "",
        asked.version or "",
        field_selector=text,
    )


def _refuse(kind: str, problems: list[FieldError]) -> None:
    if problems:
        raise errors.invalid(f"{kind}.{_GROUP}", "", problems)


def _metadata_problems(meta: ObjectMeta, namespace: str = "") -> list[FieldError]:
    """Reviews have no names: all that metadata may carry is who wrote them, and the namespace of local ones."""
    bare = msgspec.structs.replace(meta, managed_fields=(), creation_timestamp=None)
    if namespace:
        bare.namespace = None
    if bare == ObjectMeta():
        return []
    detail = "must be empty except for namespace" if namespace else "must be empty"
    return [invalid("metadata", to_builtins(meta), detail)]


def _subject_problems(spec: SubjectAccessReviewSpec) -> list[FieldError]:
    problems = _problems(spec.resource_attributes, spec.non_resource_attributes)
    if not spec.user and not spec.groups:
        problems.append(invalid("spec.user", "", "at least one of user or group must be specified"))
    return problems


def _problems(resource: ResourceAttributes | None, path: NonResourceAttributes | None) -> list[FieldError]:
    if resource is not None and path is not None:
        text = "cannot be specified in combination with resourceAttributes"
        return [invalid("spec.nonResourceAttributes", to_builtins(path), text)]
    if resource is None and path is None:
        text = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        return [invalid("spec.resourceAttributes", None, text)]
    if resource is None:
        return []
    where = "spec.resourceAttributes"
    return [
        *_selector_problems(resource.field_selector, f"{where}.fieldSelector"),
        *_selector_problems(resource.label_selector, f"{where}.labelSelector"),
    ]


def _selector_problems(
    selector: FieldSelectorAttributes | LabelSelectorAttributes | None, path: str
) -> list[FieldError]:
    """Text or requirements; operators that are not known are for those who know them."""
    if selector is None:
        return []
    if selector.raw_selector and selector.requirements:
        return [
            invalid(f"{path}.rawSelector", selector.raw_selector, "may not specified at the same time as requirements")
        ]
    if not selector.raw_selector and not selector.requirements:
        return [required(f"{path}.requirements", f"when {path} is specified, requirements or rawSelector is required")]
    found: list[FieldError] = []
    requirements: tuple[FieldSelectorRequirement | LabelSelectorRequirement, ...] = selector.requirements
    for index, requirement in enumerate(requirements):
        where = f"{path}.requirements[{index}]"
        if not requirement.key:
            found.append(required(f"{where}.key", "must be specified"))
        if requirement.operator in ("In", "NotIn") and not requirement.values:
            found.append(required(f"{where}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
        if requirement.operator in ("Exists", "DoesNotExist") and requirement.values:
            detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            found.append(forbidden(f"{where}.values", detail))
    return found
