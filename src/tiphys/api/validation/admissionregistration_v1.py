"""Checks of webhook configurations and admission policies."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from tiphys.api import names
from tiphys.api.field_errors import FieldError, duplicate, forbidden, invalid, not_supported, refuse, required, too_many
from tiphys.api.types.admissionregistration_v1 import (
    MatchCondition,
    MutatingAdmissionPolicy,
    MutatingAdmissionPolicyBinding,
    MutatingWebhook,
    MutatingWebhookConfiguration,
    ValidatingAdmissionPolicy,
    ValidatingAdmissionPolicyBinding,
    ValidatingWebhook,
    ValidatingWebhookConfiguration,
    WebhookClientConfig,
)
from tiphys.api.validation.expressions import check_condition, check_policy_expressions
from tiphys.api.validation.formats import check_port
from tiphys.api.validation.metadata import check_metadata, check_metadata_update
from tiphys.api.validation.mutating_policies import (
    validate_mutating_binding,
    validate_mutating_binding_update,
    validate_mutating_policy,
    validate_mutating_policy_update,
)
from tiphys.api.validation.selectors import check_label_selector

_OPERATIONS: Final = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_SCOPES: Final = ("*", "Cluster", "Namespaced")
_FAILURE: Final = ("Fail", "Ignore")
_MATCH: Final = ("Equivalent", "Exact")
_SIDE_EFFECTS: Final = ("None", "NoneOnDryRun")
_ACTIONS: Final = ("Audit", "Deny", "Warn")
_VERSIONS: Final = ("v1", "v1beta1")
_TIMEOUT_MAXIMUM_SECONDS: Final = 30
_CONDITIONS_MAXIMUM: Final = 64

Configuration = ValidatingWebhookConfiguration | MutatingWebhookConfiguration


def _webhooks(obj: Configuration) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata(obj.metadata, False, names.dns_subdomain, "metadata", errors)
    _check_webhooks(obj, errors)
    return errors


def _webhooks_update(new: Configuration, old: Configuration) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    kept = [w.match_conditions for w in new.webhooks] == [w.match_conditions for w in old.webhooks]
    _check_webhooks(new, errors, has_new_conditions=not kept)
    return errors


def _check_webhooks(obj: Configuration, errors: list[FieldError], *, has_new_conditions: bool = True) -> None:
    seen: set[str] = set()
    webhooks: tuple[ValidatingWebhook | MutatingWebhook, ...] = obj.webhooks
    for index, webhook in enumerate(webhooks):
        path = f"webhooks[{index}]"
        _check_webhook(webhook, path, errors)
        if has_new_conditions:
            _check_conditions(webhook.match_conditions, f"{path}.matchConditions", errors)
        if webhook.name in seen:
            errors.append(duplicate(f"{path}.name", webhook.name))
        seen.add(webhook.name)
        _check_versions(webhook.admission_review_versions, f"{path}.admissionReviewVersions", errors)


def _check_versions(versions: tuple[str, ...], path: str, errors: list[FieldError]) -> None:
    if not versions:
        errors.append(required(path, "must specify one of v1, v1beta1"))
        return
    for index, version in enumerate(versions):
        if version in versions[:index]:
            errors.append(invalid(f"{path}[{index}]", version, "duplicate version"))
        refuse(names.dns_1035_label(version), version, f"{path}[{index}]", errors)
    if not set(versions) & set(_VERSIONS):
        errors.append(invalid(path, list(versions), "must include at least one of v1, v1beta1"))


def _check_webhook(webhook: ValidatingWebhook | MutatingWebhook, path: str, errors: list[FieldError]) -> None:
    refuse(names.fully_qualified_name(webhook.name), webhook.name, f"{path}.name", errors)
    for index, rule in enumerate(webhook.rules):
        check_rule(rule, f"{path}.rules[{index}]", errors)
    for value, name, supported in (
        (webhook.failure_policy, "failurePolicy", _FAILURE),
        (webhook.match_policy, "matchPolicy", _MATCH),
        (webhook.side_effects, "sideEffects", _SIDE_EFFECTS),
    ):
        if value is not None and value not in supported:
            errors.append(not_supported(f"{path}.{name}", value, supported))
    seconds = webhook.timeout_seconds
    if seconds is not None and not 1 <= seconds <= _TIMEOUT_MAXIMUM_SECONDS:
        detail = f"the timeout value must be between 1 and {_TIMEOUT_MAXIMUM_SECONDS} seconds"
        errors.append(invalid(f"{path}.timeoutSeconds", seconds, detail))
    check_label_selector(webhook.namespace_selector, f"{path}.namespaceSelector", errors)
    check_label_selector(webhook.object_selector, f"{path}.objectSelector", errors)
    _check_client(webhook.client_config, f"{path}.clientConfig", errors)
    if isinstance(webhook, MutatingWebhook) and webhook.reinvocation_policy not in (None, "IfNeeded", "Never"):
        supported = ("IfNeeded", "Never")
        errors.append(not_supported(f"{path}.reinvocationPolicy", webhook.reinvocation_policy, supported))


def _check_client(config: WebhookClientConfig, path: str, errors: list[FieldError]) -> None:
    if (config.url is None) == (config.service is None):
        errors.append(required(path, "exactly one of url or service is required"))
    elif config.url is not None:
        _check_url(config.url, f"{path}.url", errors)
    elif config.service is not None:
        if not config.service.name:
            errors.append(required(f"{path}.service.name", "service name is required"))
        if not config.service.namespace:
            errors.append(required(f"{path}.service.namespace", "service namespace is required"))
        check_port(config.service.port or 0, f"{path}.service.port", errors)
        where = config.service.path
        if where and not where.startswith("/"):
            errors.append(invalid(f"{path}.service.path", where, "must start with a '/'"))


def _check_url(text: str, path: str, errors: list[FieldError]) -> None:
    form = "; desired format: https://host[/path]"
    try:
        url = urlsplit(text)
    except ValueError as error:
        errors.append(required(path, f"url must be a valid URL: {error}{form}"))
        return
    if url.scheme != "https":
        errors.append(invalid(path, url.scheme, f"'https' is the only allowed URL scheme{form}"))
    if not url.netloc:
        errors.append(invalid(path, "", f"host must be specified{form}"))
    if url.username is not None:
        errors.append(invalid(path, url.username, "user information is not permitted in the URL"))
    if url.fragment:
        errors.append(invalid(path, url.fragment, "fragments are not permitted in the URL"))
    if url.query:
        errors.append(invalid(path, url.query, "query parameters are not permitted in the URL"))


def check_rule(rule: Any, path: str, errors: list[FieldError]) -> None:
    """Which requests a rule is about."""
    for values, name in ((rule.api_groups, "apiGroups"), (rule.api_versions, "apiVersions")):
        if not values:
            errors.append(required(f"{path}.{name}"))
        if len(values) > 1 and "*" in values:
            detail = f"if '*' is present, must not specify other {'API groups' if 'Groups' in name else 'API versions'}"
            errors.append(invalid(f"{path}.{name}", list(values), detail))
    errors.extend(required(f"{path}.apiVersions[{i}]") for i, version in enumerate(rule.api_versions) if not version)
    if not rule.resources:
        errors.append(required(f"{path}.resources"))
    if not rule.operations:
        errors.append(required(f"{path}.operations"))
    if len(rule.operations) > 1 and "*" in rule.operations:
        detail = "if '*' is present, must not specify other operations"
        errors.append(invalid(f"{path}.operations", list(rule.operations), detail))
    for index, operation in enumerate(rule.operations):
        if operation not in _OPERATIONS:
            errors.append(not_supported(f"{path}.operations[{index}]", operation, _OPERATIONS))
    if rule.scope is not None and rule.scope not in _SCOPES:
        errors.append(not_supported(f"{path}.scope", rule.scope, _SCOPES))


def _check_conditions(
    conditions: tuple[MatchCondition, ...], path: str, errors: list[FieldError], *, has_params: bool = False
) -> None:
    seen: set[str] = set()
    if len(conditions) > _CONDITIONS_MAXIMUM:
        errors.append(too_many(path, len(conditions), _CONDITIONS_MAXIMUM))
    for index, condition in enumerate(conditions):
        where = f"{path}[{index}]"
        if not condition.expression.strip():
            errors.append(required(f"{where}.expression"))
        else:
            check_condition(condition.expression, f"{where}.expression", errors, has_params=has_params)
        if not condition.name:
            errors.append(required(f"{where}.name"))
        else:
            refuse(names.qualified_name(condition.name), condition.name, f"{where}.name", errors)
        if condition.name in seen:
            errors.append(duplicate(f"{where}.name", condition.name))
        seen.add(condition.name)


def _policy(obj: ValidatingAdmissionPolicy) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata(obj.metadata, False, names.dns_subdomain, "metadata", errors)
    _check_policy(obj, errors)
    return errors


def _policy_update(new: ValidatingAdmissionPolicy, old: ValidatingAdmissionPolicy) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    _check_policy(new, errors)
    return errors


def _check_policy(obj: ValidatingAdmissionPolicy, errors: list[FieldError]) -> None:
    spec = obj.spec
    if spec.failure_policy is None:
        errors.append(required("spec.failurePolicy"))
    elif spec.failure_policy not in _FAILURE:
        errors.append(not_supported("spec.failurePolicy", spec.failure_policy, _FAILURE))
    if spec.match_constraints is None:
        errors.append(required("spec.matchConstraints"))
    else:
        if not spec.match_constraints.resource_rules:
            errors.append(required("spec.matchConstraints.resourceRules"))
        _check_match(spec.match_constraints, "spec.matchConstraints", errors)
    has_params = spec.param_kind is not None
    _check_conditions(spec.match_conditions, "spec.matchConditions", errors, has_params=has_params)
    if not spec.validations and not spec.audit_annotations:
        detail = "validations or auditAnnotations must be non-empty; neither has been specified"
        errors.append(required("spec.validations", detail))
    for index, validation in enumerate(spec.validations):
        if not validation.expression.strip():
            errors.append(required(f"spec.validations[{index}].expression", "expression is not specified"))
    for index, variable in enumerate(spec.variables):
        path = f"spec.variables[{index}]"
        if not variable.name:
            errors.append(required(f"{path}.name", "name is not specified"))
        elif names.c_identifier(variable.name):
            errors.append(invalid(f"{path}.name", variable.name, "name is not a valid CEL identifier"))
        if not variable.expression.strip():
            errors.append(required(f"{path}.expression", "expression is not specified"))
    check_policy_expressions(spec, errors)


def _check_match(match: Any, path: str, errors: list[FieldError]) -> None:
    if match.match_policy is not None and match.match_policy not in _MATCH:
        errors.append(not_supported(f"{path}.matchPolicy", match.match_policy, _MATCH))
    check_label_selector(match.namespace_selector, f"{path}.namespaceSelector", errors)
    check_label_selector(match.object_selector, f"{path}.objectSelector", errors)
    for index, rule in enumerate(match.resource_rules):
        check_rule(rule, f"{path}.resourceRules[{index}]", errors)
    for index, rule in enumerate(match.exclude_resource_rules):
        check_rule(rule, f"{path}.excludeResourceRules[{index}]", errors)


def _policy_binding(obj: ValidatingAdmissionPolicyBinding) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata(obj.metadata, False, names.dns_subdomain, "metadata", errors)
    _check_policy_binding(obj, errors)
    return errors


def _policy_binding_update(
    new: ValidatingAdmissionPolicyBinding, old: ValidatingAdmissionPolicyBinding
) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    _check_policy_binding(new, errors)
    return errors


def _check_policy_binding(obj: ValidatingAdmissionPolicyBinding, errors: list[FieldError]) -> None:
    spec = obj.spec
    if not spec.policy_name:
        errors.append(required("spec.policyName"))
    else:
        refuse(names.dns_subdomain(spec.policy_name), spec.policy_name, "spec.policyName", errors)
    if spec.match_resources is not None:
        _check_match(spec.match_resources, "spec.matchResources", errors)
    path = "spec.validationActions"
    if not spec.validation_actions:
        errors.append(required(path, "at least one validation action is required"))
    for index, action in enumerate(spec.validation_actions):
        if action not in _ACTIONS:
            errors.append(not_supported(f"{path}[{index}]", action, _ACTIONS))
        elif action in spec.validation_actions[:index]:
            errors.append(duplicate(f"{path}[{index}]", action))
    if {"Deny", "Warn"} <= set(spec.validation_actions):
        detail = (
            "must not contain both Deny and Warn (repeating the same validation failure information in the API "
            "response and headers serves no purpose)"
        )
        errors.append(invalid(path, list(spec.validation_actions), detail))
    if spec.param_ref is not None:
        reference = spec.param_ref
        if not reference.name and reference.selector is None:
            errors.append(required("spec.paramRef", "one of name or selector must be specified"))
        elif reference.name and reference.selector is not None:
            errors.append(forbidden("spec.paramRef.name", "name and selector are mutually exclusive"))


CREATE: Final[dict[type, Any]] = {
    MutatingAdmissionPolicy: validate_mutating_policy,
    MutatingAdmissionPolicyBinding: validate_mutating_binding,
    MutatingWebhookConfiguration: _webhooks,
    ValidatingAdmissionPolicy: _policy,
    ValidatingAdmissionPolicyBinding: _policy_binding,
    ValidatingWebhookConfiguration: _webhooks,
}
UPDATE: Final[dict[type, Any]] = {
    MutatingAdmissionPolicy: validate_mutating_policy_update,
    MutatingAdmissionPolicyBinding: validate_mutating_binding_update,
    MutatingWebhookConfiguration: _webhooks_update,
    ValidatingAdmissionPolicy: _policy_update,
    ValidatingAdmissionPolicyBinding: _policy_binding_update,
    ValidatingWebhookConfiguration: _webhooks_update,
}
