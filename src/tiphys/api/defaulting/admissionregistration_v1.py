"""Defaults of webhook configurations and admission policies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tiphys.api.types.admissionregistration_v1 import (
    MatchResources,
    MutatingAdmissionPolicy,
    MutatingAdmissionPolicyBinding,
    MutatingWebhook,
    MutatingWebhookConfiguration,
    ValidatingAdmissionPolicy,
    ValidatingAdmissionPolicyBinding,
    ValidatingWebhook,
    ValidatingWebhookConfiguration,
)
from tiphys.api.types.meta_v1 import LabelSelector

WEBHOOK_PORT: Final = 443
WEBHOOK_TIMEOUT_SECONDS: Final = 10


def _validating_webhooks(obj: ValidatingWebhookConfiguration) -> None:
    for webhook in obj.webhooks:
        _webhook(webhook)


def _mutating_webhooks(obj: MutatingWebhookConfiguration) -> None:
    for webhook in obj.webhooks:
        _webhook(webhook)
        if webhook.reinvocation_policy is None:
            webhook.reinvocation_policy = "Never"


def _webhook(webhook: ValidatingWebhook | MutatingWebhook) -> None:
    if webhook.failure_policy is None:
        webhook.failure_policy = "Fail"
    if webhook.match_policy is None:
        webhook.match_policy = "Equivalent"
    if webhook.namespace_selector is None:
        webhook.namespace_selector = LabelSelector()
    if webhook.object_selector is None:
        webhook.object_selector = LabelSelector()
    if webhook.timeout_seconds is None:
        webhook.timeout_seconds = WEBHOOK_TIMEOUT_SECONDS
    service = webhook.client_config.service
    if service is not None and service.port is None:
        service.port = WEBHOOK_PORT
    for rule in webhook.rules:
        if rule.scope is None:
            rule.scope = "*"


def _policy(obj: ValidatingAdmissionPolicy | MutatingAdmissionPolicy) -> None:
    if obj.spec.failure_policy is None:
        obj.spec.failure_policy = "Fail"
    if isinstance(obj, MutatingAdmissionPolicy) and not obj.spec.reinvocation_policy:
        obj.spec.reinvocation_policy = "Never"
    if obj.spec.match_constraints is not None:
        _match_resources(obj.spec.match_constraints)


def _policy_binding(obj: ValidatingAdmissionPolicyBinding | MutatingAdmissionPolicyBinding) -> None:
    if obj.spec.match_resources is not None:
        _match_resources(obj.spec.match_resources)


def _match_resources(match: MatchResources) -> None:
    if match.match_policy is None:
        match.match_policy = "Equivalent"
    if match.namespace_selector is None:
        match.namespace_selector = LabelSelector()
    if match.object_selector is None:
        match.object_selector = LabelSelector()
    for rule in (*match.resource_rules, *match.exclude_resource_rules):
        if rule.scope is None:
            rule.scope = "*"


DEFAULTS: Final[dict[type, Callable[[Any], None]]] = {
    MutatingAdmissionPolicy: _policy,
    MutatingAdmissionPolicyBinding: _policy_binding,
    MutatingWebhookConfiguration: _mutating_webhooks,
    ValidatingAdmissionPolicy: _policy,
    ValidatingAdmissionPolicyBinding: _policy_binding,
    ValidatingWebhookConfiguration: _validating_webhooks,
}
