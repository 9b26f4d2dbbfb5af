"""Which FlowSchema a request falls under. Pure: objects in, the first schema that matches out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from tiphys.api.types.flowcontrol_v1 import (
    FlowSchema,
    NonResourcePolicyRule,
    PolicyRulesWithSubjects,
    ResourcePolicyRule,
    Subject,
)
from tiphys.apiserver.authentication.user import User, split_service_account
from tiphys.apiserver.routing import RequestInfo

_ANY: Final = "*"


def in_order(schemas: Iterable[FlowSchema]) -> list[FlowSchema]:
    """By precedence, then name: the first that matches a request decides."""
    return sorted(schemas, key=lambda schema: (schema.spec.matching_precedence or 0, schema.metadata.name or ""))


def first_match(schemas: Sequence[FlowSchema], user: User, info: RequestInfo) -> FlowSchema | None:
    """The first of `schemas` with a rule for the request."""
    for schema in schemas:
        if any(_rule_matches(rule, user, info) for rule in schema.spec.rules):
            return schema
    return None


def flow_of(schema: FlowSchema, user: User, info: RequestInfo) -> str:
    """What tells this request's flow from the others of its schema: nothing, the user, or the namespace."""
    method = schema.spec.distinguisher_method
    if method is None:
        return schema.metadata.name or ""
    return f"{schema.metadata.name}/{user.name if method.type == 'ByUser' else info.namespace}"


def _rule_matches(rule: PolicyRulesWithSubjects, user: User, info: RequestInfo) -> bool:
    if not any(_subject_matches(subject, user) for subject in rule.subjects):
        return False
    if info.resource:
        return any(_resource_matches(one, info) for one in rule.resource_rules)
    return any(_path_matches(one, info) for one in rule.non_resource_rules)


def _subject_matches(subject: Subject, user: User) -> bool:
    if subject.user is not None:
        return subject.user.name in (_ANY, user.name)
    if subject.group is not None:
        return subject.group.name == _ANY or subject.group.name in user.groups
    if subject.service_account is None:
        return False
    account = split_service_account(user.name)
    wanted = subject.service_account
    return account is not None and account[0] == wanted.namespace and wanted.name in (_ANY, account[1])


def _resource_matches(rule: ResourcePolicyRule, info: RequestInfo) -> bool:
    resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
    if not (_has(rule.verbs, info.verb) and _has(rule.api_groups, info.group) and _has(rule.resources, resource)):
        return False
    return _has(rule.namespaces, info.namespace) if info.namespace else bool(rule.cluster_scope)


def _path_matches(rule: NonResourcePolicyRule, info: RequestInfo) -> bool:
    if not _has(rule.verbs, info.verb):
        return False
    for pattern in rule.non_resource_urls:
        if pattern in (_ANY, info.path) or (pattern.endswith("/*") and info.path.startswith(pattern[:-1])):
            return True
    return False


def _has(listed: Sequence[str], value: str) -> bool:
    return value in listed or _ANY in listed
