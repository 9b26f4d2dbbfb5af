"""Checks of mutating admission policies."""

from __future__ import annotations

from typing import Final

from tiphys.api import names
from tiphys.api.field_errors import FieldError, forbidden, not_supported, refuse, required
from tiphys.api.types.admissionregistration_v1 import (
    MutatingAdmissionPolicy,
    MutatingAdmissionPolicyBinding,
    Mutation,
)
from tiphys.api.validation.expressions import check_condition, check_mutation_expressions
from tiphys.api.validation.metadata import check_metadata, check_metadata_update

_FAILURE: Final = ("Fail", "Ignore")
_REINVOCATION: Final = ("IfNeeded", "Never")
_PATCHES: Final = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}


def validate_mutating_policy(obj: MutatingAdmissionPolicy) -> list[FieldError]:
    """A new policy."""
    errors: list[FieldError] = []
    check_metadata(obj.metadata, False, names.dns_subdomain, "metadata", errors)
    _check_policy(obj, errors)
    return errors


def validate_mutating_policy_update(new: MutatingAdmissionPolicy, old: MutatingAdmissionPolicy) -> list[FieldError]:
    """A policy that replaces `old`."""
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    _check_policy(new, errors)
    return errors


def _check_policy(obj: MutatingAdmissionPolicy, errors: list[FieldError]) -> None:
    spec = obj.spec
    if spec.failure_policy is None:
        errors.append(required("spec.failurePolicy"))
    elif spec.failure_policy not in _FAILURE:
        errors.append(not_supported("spec.failurePolicy", spec.failure_policy, _FAILURE))
    if spec.reinvocation_policy not in _REINVOCATION:
        errors.append(not_supported("spec.reinvocationPolicy", spec.reinvocation_policy or "", _REINVOCATION))
    if spec.match_constraints is None:
        errors.append(required("spec.matchConstraints"))
    elif not spec.match_constraints.resource_rules:
        errors.append(required("spec.matchConstraints.resourceRules"))
    if not spec.mutations:
        errors.append(required("spec.mutations", "mutations must contain at least one item"))
    for index, mutation in enumerate(spec.mutations):
        _check_mutation(mutation, f"spec.mutations[{index}]", errors)
    for index, condition in enumerate(spec.match_conditions):
        if condition.expression.strip():
            where = f"spec.matchConditions[{index}].expression"
            check_condition(condition.expression, where, errors, has_params=spec.param_kind is not None)
    check_mutation_expressions(spec, errors)


def _check_mutation(mutation: Mutation, path: str, errors: list[FieldError]) -> None:
    if mutation.patch_type not in _PATCHES:
        errors.append(not_supported(f"{path}.patchType", mutation.patch_type, tuple(_PATCHES)))
        return
    for kind, name in _PATCHES.items():
        patch = mutation.apply_configuration if kind == "ApplyConfiguration" else mutation.json_patch
        if kind != mutation.patch_type:
            if patch is not None:
                errors.append(forbidden(f"{path}.{name}", f"{name} is forbidden when patchType is not {kind}"))
        elif patch is None:
            errors.append(required(f"{path}.{name}", f"{name} is required when patchType is {kind}"))
        elif not (patch.expression or "").strip():
            errors.append(required(f"{path}.{name}.expression", "expression is not specified"))


def validate_mutating_binding(obj: MutatingAdmissionPolicyBinding) -> list[FieldError]:
    """A new binding."""
    errors: list[FieldError] = []
    check_metadata(obj.metadata, False, names.dns_subdomain, "metadata", errors)
    _check_binding(obj, errors)
    return errors


def validate_mutating_binding_update(
    new: MutatingAdmissionPolicyBinding, old: MutatingAdmissionPolicyBinding
) -> list[FieldError]:
    """A binding that replaces `old`."""
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    _check_binding(new, errors)
    return errors


def _check_binding(obj: MutatingAdmissionPolicyBinding, errors: list[FieldError]) -> None:
    spec = obj.spec
    if not spec.policy_name:
        errors.append(required("spec.policyName"))
    else:
        refuse(names.dns_subdomain(spec.policy_name), spec.policy_name, "spec.policyName", errors)
    if spec.param_ref is not None:
        if not spec.param_ref.name and spec.param_ref.selector is None:
            errors.append(required("spec.paramRef", "one of name or selector must be specified"))
        elif spec.param_ref.name and spec.param_ref.selector is not None:
            errors.append(forbidden("spec.paramRef.name", "name and selector are mutually exclusive"))
