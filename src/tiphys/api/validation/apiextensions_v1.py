"""Checks of CustomResourceDefinitions: names, versions, conversion. Schemas have a module of their own."""

from __future__ import annotations

from typing import Any, Final

from tiphys.api import names
from tiphys.api.field_errors import FieldError, duplicate, invalid, not_supported, quote, required
from tiphys.api.types.apiextensions_v1 import CustomResourceDefinition, CustomResourceDefinitionSpec
from tiphys.api.validation.custom_rules import check_rules
from tiphys.api.validation.custom_schemas import check_schema
from tiphys.api.validation.metadata import check_immutable, check_metadata, check_metadata_update
from tiphys.api.validation.selectable_fields import check_selectable_fields

_SCOPES: Final = ("Cluster", "Namespaced")
_APPROVAL: Final = "api-approved.kubernetes.io"
_PROTECTED: Final = ("k8s.io", "kubernetes.io")
_STRATEGIES: Final = ("None", "Webhook")


def _definition(obj: CustomResourceDefinition) -> list[FieldError]:
    expected = f"{obj.spec.names.plural}.{obj.spec.group}"

    def name_check(name: str) -> names.Messages:
        messages = names.dns_subdomain(name)
        # A group without a dot makes any name wrong, as upstream composes the expected name from valid groups.
        if name != expected or "." not in obj.spec.group:
            return (*messages, 'must be spec.names.plural+"."+spec.group')
        return messages

    errors: list[FieldError] = []
    check_metadata(obj.metadata, False, name_check, "metadata", errors)
    _check_approval(obj, errors)
    _check_spec(obj.spec, errors)
    return errors


def _check_approval(obj: CustomResourceDefinition, errors: list[FieldError]) -> None:
    """The groups of Kubernetes' community are not anybody's."""
    group = obj.spec.group
    if not any(group == domain or group.endswith(f".{domain}") for domain in _PROTECTED):
        return
    text = obj.metadata.annotations.get(_APPROVAL, "")
    path = f"metadata.annotations[{_APPROVAL}]"
    link = "see https://github.com/kubernetes/enhancements/pull/1111"
    if not text:
        errors.append(required(path, f"protected groups must have approval annotation {quote(_APPROVAL)}, {link}"))
    elif not text.startswith(("https://", "unapproved")):
        errors.append(
            invalid(path, text, f"protected groups must have approval annotation {quote(_APPROVAL)} with a URL")
        )


def _check_spec(spec: CustomResourceDefinitionSpec, errors: list[FieldError]) -> None:
    if not spec.group:
        errors.append(required("spec.group"))
    elif messages := names.dns_subdomain(spec.group):
        errors.append(invalid("spec.group", spec.group, ",".join(messages)))
    elif "." not in spec.group:
        errors.append(invalid("spec.group", spec.group, "should be a domain with at least one dot"))
    if spec.scope not in _SCOPES:
        errors.append(not_supported("spec.scope", spec.scope, _SCOPES))
    _check_versions(spec, errors)
    _check_names(spec, errors)
    _check_conversion(spec, errors)
    single = len(spec.versions) == 1
    for index, version in enumerate(spec.versions):
        # With one version (or one schema for all) upstream's paths are those of the old top-level field.
        schema = version.schema.open_apiv3_schema if version.schema is not None else None
        if not schema:
            errors.append(required(f"spec.versions[{index}].schema.openAPIV3Schema"))
            continue
        path = "spec.validation" if single else f"spec.versions[{index}].schema"
        before = len(errors)
        check_schema(schema, f"{path}.openAPIV3Schema", errors, root=True)
        fields = "spec.selectableFields" if single else f"spec.versions[{index}].selectableFields"
        check_selectable_fields(version.selectable_fields, schema, fields, errors)
        if len(errors) == before:
            check_rules(schema, f"{path}.openAPIV3Schema", errors)


def _check_versions(spec: CustomResourceDefinitionSpec, errors: list[FieldError]) -> None:
    seen: set[str] = set()
    storage = 0
    for index, version in enumerate(spec.versions):
        path = f"spec.versions[{index}]"
        if version.storage:
            storage += 1
        if version.name in seen:
            errors.append(duplicate(f"{path}.name", version.name))
        else:
            messages = names.dns_1035_label(version.name)
            if messages:
                errors.append(invalid(f"{path}.name", version.name, ",".join(messages)))
        seen.add(version.name)
        if version.deprecation_warning is not None and not version.deprecated:
            detail = "can only be set for deprecated versions"
            errors.append(invalid(f"{path}.deprecationWarning", version.deprecation_warning, detail))
    if storage != 1:
        detail = "must have exactly one version marked as storage version"
        errors.append(invalid("spec.versions", [version.name for version in spec.versions], detail))


def _check_names(spec: CustomResourceDefinitionSpec, errors: list[FieldError]) -> None:
    given = spec.names
    for value, name in ((given.plural, "plural"), (given.singular or "", "singular")):
        if not value and name == "plural":
            errors.append(required("spec.names.plural"))
        elif value and (messages := names.dns_1035_label(value)):
            errors.append(invalid(f"spec.names.{name}", value, ",".join(messages)))
    for value, name in ((given.kind, "kind"), (given.list_kind or "", "listKind")):
        if not value:
            errors.append(required(f"spec.names.{name}"))
        elif messages := names.dns_1035_label(value.lower()):
            detail = f"may have mixed case, but should otherwise match: {','.join(messages)}"
            errors.append(invalid(f"spec.names.{name}", value, detail))
    for index, short in enumerate(given.short_names):
        if messages := names.dns_1035_label(short):
            errors.append(invalid(f"spec.names.shortNames[{index}]", short, ",".join(messages)))
    if given.kind and given.kind == given.list_kind:
        errors.append(invalid("spec.names.listKind", given.list_kind, "kind and listKind may not be the same"))
    for index, category in enumerate(given.categories):
        if messages := names.dns_1035_label(category):
            errors.append(invalid(f"spec.names.categories[{index}]", category, ",".join(messages)))


def _check_conversion(spec: CustomResourceDefinitionSpec, errors: list[FieldError]) -> None:
    conversion = spec.conversion
    if conversion is None:
        return
    if conversion.strategy not in _STRATEGIES:
        errors.append(not_supported("spec.conversion.strategy", conversion.strategy, _STRATEGIES))
    elif conversion.strategy == "Webhook":
        if conversion.webhook is None or conversion.webhook.client_config is None:
            detail = "required when strategy is set to Webhook"
            errors.append(required("spec.conversion.webhookClientConfig", detail))
        if spec.preserve_unknown_fields:
            detail = "must be None if spec.preserveUnknownFields is true"
            errors.append(invalid("spec.conversion.strategy", conversion.strategy, detail))
    elif conversion.webhook is not None:
        detail = "should not be set when strategy is not set to Webhook"
        errors.append(FieldError("FieldValueForbidden", "spec.conversion.webhookClientConfig", f"Forbidden: {detail}"))


def _definition_update(new: CustomResourceDefinition, old: CustomResourceDefinition) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    _check_spec(new.spec, errors)
    check_immutable(new.spec.group, old.spec.group, "spec.group", errors)
    established = any(c.type == "Established" and c.status == "True" for c in old.status.conditions)
    check_immutable(new.spec.names.plural, old.spec.names.plural, "spec.names.plural", errors)
    if established:
        check_immutable(new.spec.scope, old.spec.scope, "spec.scope", errors)
        check_immutable(new.spec.names.kind, old.spec.names.kind, "spec.names.kind", errors)
    _check_stored(new, errors)
    return errors


def _definition_status(new: CustomResourceDefinition, old: CustomResourceDefinition) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    _check_stored(new, errors)
    return errors


def _check_stored(new: CustomResourceDefinition, errors: list[FieldError]) -> None:
    """Objects may still be kept in every version that is noted: it must be there to read them."""
    stored = new.status.stored_versions
    storage = next((version.name for version in new.spec.versions if version.storage), "")
    known = {version.name for version in new.spec.versions}
    if not stored:
        errors.append(invalid("status.storedVersions", [], "must have at least one stored version"))
    elif storage not in stored:
        errors.append(invalid("status.storedVersions", list(stored), f"must have the storage version {storage}"))
    for index, version in enumerate(stored):
        if version not in known:
            detail = "must appear in spec.versions"
            errors.append(invalid(f"status.storedVersions[{index}]", version, detail))


CREATE: Final[dict[type, Any]] = {CustomResourceDefinition: _definition}
UPDATE: Final[dict[type, Any]] = {CustomResourceDefinition: _definition_update}
STATUS: Final[dict[type, Any]] = {CustomResourceDefinition: _definition_status}
