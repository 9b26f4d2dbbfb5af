"""Checks of flow schemas and priority levels."""

from __future__ import annotations

from typing import Any, Final

from tiphys.api import names
from tiphys.api.field_errors import FieldError, forbidden, invalid, not_supported, refuse, required
from tiphys.api.types.flowcontrol_v1 import (
    FlowSchema,
    PolicyRulesWithSubjects,
    PriorityLevelConfiguration,
    ResourcePolicyRule,
    ServiceAccountSubject,
    Subject,
)
from tiphys.api.validation.metadata import check_metadata, check_metadata_update

_PRECEDENCE_MAXIMUM: Final = 10000
_QUEUES_MAXIMUM: Final = 10_000_000
_VERBS: Final = frozenset(("create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"))
_POSITIVE: Final = "must be positive"
_SUBJECTS: Final = {"Group": "group", "ServiceAccount": "service_account", "User": "user"}


def _flow_schema(obj: FlowSchema) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata(obj.metadata, False, names.dns_subdomain, "metadata", errors)
    _check_flow_schema(obj, errors)
    return errors


def _flow_schema_update(new: FlowSchema, old: FlowSchema) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    _check_flow_schema(new, errors)
    return errors


def _check_flow_schema(obj: FlowSchema, errors: list[FieldError]) -> None:
    spec = obj.spec
    precedence = spec.matching_precedence or 0
    if precedence <= 0:
        errors.append(invalid("spec.matchingPrecedence", precedence, "must be a positive value"))
    if precedence > _PRECEDENCE_MAXIMUM:
        detail = f"must not be greater than {_PRECEDENCE_MAXIMUM}"
        errors.append(invalid("spec.matchingPrecedence", precedence, detail))
    if precedence == 1 and obj.metadata.name != "exempt":
        detail = "only the schema named 'exempt' may have matchingPrecedence 1"
        errors.append(invalid("spec.matchingPrecedence", precedence, detail))
    method = spec.distinguisher_method
    if method is not None and method.type not in ("ByNamespace", "ByUser"):
        errors.append(not_supported("spec.distinguisherMethod.type", method, ("ByNamespace", "ByUser")))
    name = spec.priority_level_configuration.name
    if not name:
        errors.append(required("spec.priorityLevelConfiguration.name", "must reference a priority level"))
    else:
        refuse(names.dns_subdomain(name), name, "spec.priorityLevelConfiguration.name", errors)
    for index, rule in enumerate(spec.rules):
        _check_rule(rule, f"spec.rules[{index}]", errors)


def _check_rule(rule: PolicyRulesWithSubjects, path: str, errors: list[FieldError]) -> None:
    if not rule.subjects:
        errors.append(required(f"{path}.subjects", "subjects must contain at least one value"))
    for index, subject in enumerate(rule.subjects):
        _check_subject(subject, f"{path}.subjects[{index}]", errors)
    if not rule.resource_rules and not rule.non_resource_rules:
        errors.append(required(path, "at least one of resourceRules and nonResourceRules has to be non-empty"))
    for index, resources in enumerate(rule.resource_rules):
        where = f"{path}.resourceRules[{index}]"
        _check_verbs(resources.verbs, where, errors)
        group, resource = (
            "resource rules must supply at least one api group",
            "resource rules must supply at least one resource",
        )
        _check_any(resources.api_groups, f"{where}.apiGroups", group, "api groups", errors)
        _check_any(resources.resources, f"{where}.resources", resource, "resources", errors)
        _check_namespaces(resources, f"{where}.namespaces", errors)
    for index, paths in enumerate(rule.non_resource_rules):
        where = f"{path}.nonResourceRules[{index}]"
        _check_verbs(paths.verbs, where, errors)
        urls, place = paths.non_resource_urls, f"{where}.nonResourceURLs"
        if not _check_any(urls, place, "nonResourceURLs must contain at least one value", "non-resource URLs", errors):
            for position, url in enumerate(urls):
                _check_url(url, f"{place}[{position}]", errors)


def _check_any(values: tuple[str, ...], path: str, missing: str, what: str, errors: list[FieldError]) -> bool:
    """There are some, or there is ``*`` alone; returns whether there is ``*``."""
    if not values:
        errors.append(required(path, missing))
    elif "*" in values and len(values) > 1:
        errors.append(invalid(path, list(values), f"if '*' is present, must not specify other {what}"))
    return "*" in values


def _check_verbs(verbs: tuple[str, ...], path: str, errors: list[FieldError]) -> None:
    where = f"{path}.verbs"
    is_any = _check_any(verbs, where, "verbs must contain at least one value", "verbs", errors)
    if not is_any and not _VERBS.issuperset(verbs):
        errors.append(not_supported(where, list(verbs), sorted(_VERBS)))


def _check_namespaces(rule: ResourcePolicyRule, path: str, errors: list[FieldError]) -> None:
    if not rule.namespaces:
        if not rule.cluster_scope:
            detail = "resource rules that are not cluster scoped must supply at least one namespace"
            errors.append(required(path, detail))
        return
    if _check_any(rule.namespaces, path, "", "namespaces", errors):
        return
    for index, namespace in enumerate(rule.namespaces):
        for message in names.dns_label(namespace):
            detail = f"each member of this list must be '*' or a DNS-1123 label; {message}"
            errors.append(invalid(f"{path}[{index}]", namespace, detail))


def _check_url(url: str, path: str, errors: list[FieldError]) -> None:
    if not url:
        errors.append(invalid(path, url, "must not be empty"))
    elif url == "/":
        return
    elif not url.startswith("/"):
        errors.append(invalid(path, url, "must start with slash"))
    elif " " in url:
        errors.append(invalid(path, url, "must not contain white-space"))
    elif "//" in url:
        errors.append(invalid(path, url, "must not contain double slash"))
    elif "*" in url and (url.count("*") > 1 or not url.endswith("/*")):
        errors.append(invalid(path, url, "wildcard can only do suffix matching"))


def _check_subject(subject: Subject, path: str, errors: list[FieldError]) -> None:
    attribute = _SUBJECTS.get(subject.kind)
    if attribute is None:
        errors.append(not_supported(f"{path}.kind", subject.kind, tuple(_SUBJECTS)))
        return
    for kind, other in _SUBJECTS.items():
        value = getattr(subject, other)
        name = kind[0].lower() + kind[1:]
        if kind == subject.kind:
            if value is None:
                errors.append(required(f"{path}.{name}", f"{name} is required when subject kind is '{kind}'"))
            elif not value.name:
                errors.append(required(f"{path}.{name}.name"))
            if isinstance(value, ServiceAccountSubject):
                _check_account(value, f"{path}.{name}", errors)
        elif value is not None:
            errors.append(forbidden(f"{path}.{name}", f"{name} is forbidden when subject kind is not '{kind}'"))


def _check_account(account: ServiceAccountSubject, path: str, errors: list[FieldError]) -> None:
    if account.name and account.name != "*":
        refuse(names.dns_subdomain(account.name), account.name, f"{path}.name", errors)
    if account.namespace:
        refuse(names.dns_label(account.namespace), account.namespace, f"{path}.namespace", errors)
    else:
        errors.append(required(f"{path}.namespace", "must specify namespace for service account"))


def _priority_level(obj: PriorityLevelConfiguration) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata(obj.metadata, False, names.dns_subdomain, "metadata", errors)
    _check_priority_level(obj, errors)
    return errors


def _priority_level_update(new: PriorityLevelConfiguration, old: PriorityLevelConfiguration) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    _check_priority_level(new, errors)
    return errors


def _check_priority_level(obj: PriorityLevelConfiguration, errors: list[FieldError]) -> None:
    spec = obj.spec
    is_exempt = obj.metadata.name == "exempt"
    if is_exempt != (spec.type == "Exempt"):
        detail = "type must be 'Exempt' if and only if `name` is 'exempt'"
        errors.append(invalid("spec.type", spec.type, detail))
    if spec.type == "Exempt":
        if spec.limited is not None:
            errors.append(forbidden("spec.limited", "must be nil if the type is not Limited"))
    elif spec.type == "Limited":
        if spec.exempt is not None:
            errors.append(forbidden("spec.exempt", "must be nil if the type is Limited"))
        if spec.limited is None:
            errors.append(required("spec.limited", "must not be empty when type is Limited"))
        else:
            _check_limited(spec.limited, errors)
    else:
        errors.append(not_supported("spec.type", spec.type, ("Exempt", "Limited")))


def _check_limited(limited: Any, errors: list[FieldError]) -> None:
    path = "spec.limited"
    shares = limited.nominal_concurrency_shares
    if shares is not None and shares < 0:
        errors.append(invalid(f"{path}.nominalConcurrencyShares", shares, "must be a non-negative integer"))
    lendable = limited.lendable_percent
    if lendable is not None and not 0 <= lendable <= 100:
        errors.append(invalid(f"{path}.lendablePercent", lendable, names.range_message(0, 100)))
    borrowing = limited.borrowing_limit_percent
    if borrowing is not None and borrowing < 0:
        detail = "if specified, must be a non-negative integer"
        errors.append(invalid(f"{path}.borrowingLimitPercent", borrowing, detail))
    response = limited.limit_response
    where = f"{path}.limitResponse"
    kind = response.type if response is not None else ""
    if kind not in ("Queue", "Reject"):
        errors.append(not_supported(f"{where}.type", kind, ("Queue", "Reject")))
    elif kind == "Reject" and response.queuing is not None:
        errors.append(forbidden(f"{where}.queuing", "must be nil if limited.limitResponse.type is not Limited"))
    elif kind == "Queue":
        queuing = response.queuing
        if queuing is None:
            errors.append(required(f"{where}.queuing", "must not be empty if limited.limitResponse.type is Limited"))
            return
        for value, name in (
            (queuing.queue_length_limit, "queueLengthLimit"),
            (queuing.queues, "queues"),
            (queuing.hand_size, "handSize"),
        ):
            if (value or 0) <= 0:
                errors.append(invalid(f"{where}.queuing.{name}", value or 0, _POSITIVE))
        if (queuing.queues or 0) > _QUEUES_MAXIMUM:
            detail = f"must not be greater than {_QUEUES_MAXIMUM}"
            errors.append(invalid(f"{where}.queuing.queues", queuing.queues, detail))
        if (queuing.hand_size or 0) > (queuing.queues or 0):
            detail = f"should not be greater than queues ({queuing.queues})"
            errors.append(invalid(f"{where}.queuing.handSize", queuing.hand_size, detail))


CREATE: Final[dict[type, Any]] = {FlowSchema: _flow_schema, PriorityLevelConfiguration: _priority_level}
UPDATE: Final[dict[type, Any]] = {
    FlowSchema: _flow_schema_update,
    PriorityLevelConfiguration: _priority_level_update,
}
