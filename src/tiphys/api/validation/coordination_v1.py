"""Checks of Leases."""

from __future__ import annotations

from typing import Any, Final

from tiphys.api import names
from tiphys.api.field_errors import FieldError, forbidden, invalid, not_supported, refuse
from tiphys.api.types.coordination_v1 import Lease, LeaseSpec
from tiphys.api.validation.metadata import check_metadata, check_metadata_update, check_not_negative

_POSITIVE: Final = "must be greater than 0"


def _lease(obj: Lease) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata(obj.metadata, True, names.dns_subdomain, "metadata", errors)
    _check_spec(obj.spec, errors)
    return errors


def _lease_update(new: Lease, old: Lease) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    _check_spec(new.spec, errors)
    return errors


def _check_spec(spec: LeaseSpec, errors: list[FieldError]) -> None:
    if spec.lease_duration_seconds is not None and spec.lease_duration_seconds <= 0:
        errors.append(invalid("spec.leaseDurationSeconds", spec.lease_duration_seconds, _POSITIVE))
    check_not_negative(spec.lease_transitions, "spec.leaseTransitions", errors)
    if spec.strategy is not None:
        if "/" in spec.strategy:
            refuse(names.qualified_name(spec.strategy), spec.strategy, "spec.strategy", errors)
        elif spec.strategy != "OldestEmulationVersion":
            errors.append(not_supported("spec.strategy", spec.strategy, ("OldestEmulationVersion",)))
    if spec.preferred_holder and not spec.strategy:
        errors.append(forbidden("spec.preferredHolder", "may only be specified if `strategy` is defined"))


CREATE: Final[dict[type, Any]] = {Lease: _lease}
UPDATE: Final[dict[type, Any]] = {Lease: _lease_update}
