"""Checks of expressions in built-in kinds: they compile, and evaluate to what is asked."""

from __future__ import annotations

from typing import Any, Final

from tiphys.api import cel
from tiphys.api.cel.admission import PATCHES, admission, declared_as, devices
from tiphys.api.field_errors import FieldError, duplicate, invalid, not_supported, required, too_long

_BOOL: Final = ("bool",)
_SELECTOR_BYTES: Final = 10 * 1024
_ANNOTATION_BYTES: Final = 5 * 1024
_ANNOTATIONS_MAXIMUM: Final = 20
_REASONS: Final = ("Forbidden", "Invalid", "RequestEntityTooLarge")


def check_condition(expression: str, path: str, errors: list[FieldError], *, has_params: bool = False) -> None:
    """The expression of a match condition."""
    check_expression(admission(has_params=has_params), expression.strip(), _BOOL, path, errors)


def check_expression(
    environment: cel.Environment, expression: str, results: tuple[str, ...], path: str, errors: list[FieldError]
) -> str:
    """One expression; empty `results` are any. Returns the type it has, ``dyn`` if it has none."""
    try:
        result = environment.compile(expression).result
    except cel.CompileError as error:
        errors.append(invalid(path, expression, f"compilation failed: {error}"))
        return "dyn"
    if results and result not in results:
        wanted = results[0] if len(results) == 1 else f"one of [{' '.join(results)}]"
        errors.append(invalid(path, expression, f"must evaluate to {wanted} but got {result}"))
    return result


def check_selector(expression: str, path: str, errors: list[FieldError]) -> None:
    """An expression that chooses devices."""
    if len(expression.encode()) > _SELECTOR_BYTES:
        errors.append(too_long(path, _SELECTOR_BYTES))
        return
    try:
        result = devices().compile(expression).result
    except cel.CompileError as error:
        errors.append(invalid(path, expression, f"compilation failed: {error}"))
        return
    if result not in ("bool", "dyn"):
        detail = f"must evaluate to bool or the unknown type, not {result}"
        errors.append(invalid(path, expression, detail))


def check_policy_expressions(spec: Any, errors: list[FieldError]) -> None:
    """Variables, validations and audit annotations of a validating policy."""
    has_params = spec.param_kind is not None
    environment = _check_variables(spec.variables, has_params, errors)
    without = admission(has_params=has_params, has_authorizer=False) if not spec.variables else environment
    for index, validation in enumerate(spec.validations):
        path = f"spec.validations[{index}]"
        if validation.expression.strip():
            check_expression(environment, validation.expression, _BOOL, f"{path}.expression", errors)
        _check_message(validation, without, path, errors)
    annotations = spec.audit_annotations
    if len(annotations) > _ANNOTATIONS_MAXIMUM:
        detail = f"must not have more than {_ANNOTATIONS_MAXIMUM} auditAnnotations"
        errors.append(invalid("spec.auditAnnotations", list(annotations), detail))
    seen: set[str] = set()
    for index, annotation in enumerate(annotations):
        path = f"spec.auditAnnotations[{index}]"
        _check_annotation(annotation, environment, path, errors)
        if annotation.key in seen:
            errors.append(duplicate(f"{path}.key", annotation.key))
        seen.add(annotation.key)


def check_mutation_expressions(spec: Any, errors: list[FieldError]) -> None:
    """Variables and patches of a mutating policy."""
    environment = _check_variables(spec.variables, spec.param_kind is not None, errors)
    for index, mutation in enumerate(spec.mutations):
        path = f"spec.mutations[{index}]"
        patch, apply = mutation.json_patch, mutation.apply_configuration
        if mutation.patch_type == "JSONPatch" and patch is not None and (patch.expression or "").strip():
            check_expression(environment, patch.expression, (PATCHES,), f"{path}.jsonPatch.expression", errors)
        elif mutation.patch_type == "ApplyConfiguration" and apply is not None and (apply.expression or "").strip():
            # Its types are those of the objects that it meets.
            try:
                environment.parse(apply.expression)
            except cel.CompileError as error:
                where = f"{path}.applyConfiguration.expression"
                errors.append(invalid(where, apply.expression, f"compilation failed: {error}"))


def _check_variables(variables: Any, has_params: bool, errors: list[FieldError]) -> cel.Environment:
    """Each may speak of those before it. Returns the environment that has them all."""
    known: dict[str, cel.Declared] = {}
    for index, variable in enumerate(variables):
        if variable.name.isidentifier() and variable.expression.strip():
            environment = admission(has_params=has_params, variables=known)
            where = f"spec.variables[{index}].expression"
            known[variable.name] = declared_as(check_expression(environment, variable.expression, (), where, errors))
    return admission(has_params=has_params, variables=known if variables else None)


def _check_message(validation: Any, environment: cel.Environment, path: str, errors: list[FieldError]) -> None:
    message, expression = validation.message or "", validation.message_expression or ""
    if expression and not expression.strip():
        errors.append(invalid(f"{path}.messageExpression", expression, "must be non-empty if specified"))
    elif expression:
        check_expression(environment, expression, ("string",), f"{path}.messageExpression", errors)
    if message and not message.strip():
        errors.append(invalid(f"{path}.message", message, "message must be non-empty if specified"))
    elif "\n" in message.strip() or "\r" in message.strip():
        errors.append(invalid(f"{path}.message", message, "message must not contain line breaks"))
    if validation.reason is not None and validation.reason not in _REASONS:
        errors.append(not_supported(f"{path}.reason", validation.reason, _REASONS))


def _check_annotation(annotation: Any, environment: cel.Environment, path: str, errors: list[FieldError]) -> None:
    if not annotation.key:
        errors.append(required(f"{path}.key", "key is not specified"))
    expression = annotation.value_expression
    if not expression.strip():
        errors.append(required(f"{path}.valueExpression", "valueExpression is not specified"))
    elif len(expression.strip()) > _ANNOTATION_BYTES:
        detail = f"must not exceed {_ANNOTATION_BYTES} bytes in length"
        errors.append(required(f"{path}.valueExpression", detail))
    else:
        where = f"{path}.valueExpression"
        check_expression(environment, expression, ("string", "null_type"), where, errors)
