"""Checks of certificate signing requests."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

from tiphys.api import names
from tiphys.api.field_errors import FieldError, duplicate, forbidden, invalid, not_supported, quote, refuse, required
from tiphys.api.types.certificates_v1 import CertificateSigningRequest
from tiphys.api.validation.metadata import check_immutable, check_metadata, check_metadata_update

_USAGES: Final = frozenset(
    {
        "any",
        "cert sign",
        "client auth",
        "code signing",
        "content commitment",
        "crl sign",
        "data encipherment",
        "decipher only",
        "digital signature",
        "email protection",
        "encipher only",
        "ipsec end system",
        "ipsec tunnel",
        "ipsec user",
        "key agreement",
        "key encipherment",
        "microsoft sgc",
        "netscape sgc",
        "ocsp signing",
        "s/mime",
        "server auth",
        "signing",
        "timestamping",
    }
)
_EXPIRATION_MINIMUM_SECONDS: Final = 600
_PEM_HEAD: Final = b"-----BEGIN CERTIFICATE REQUEST-----"
_LEGACY_SIGNER: Final = "kubernetes.io/legacy-unknown"


def _request(obj: CertificateSigningRequest) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata(obj.metadata, False, names.path_segment, "metadata", errors)
    spec = obj.spec
    try:
        pem = base64.b64decode(spec.request)
    except (binascii.Error, ValueError):
        pem = b""
    if _PEM_HEAD not in pem:
        errors.append(invalid("spec.request", spec.request, "PEM block type must be CERTIFICATE REQUEST"))
    if not spec.usages:
        errors.append(required("spec.usages"))
    for index, usage in enumerate(spec.usages):
        if usage not in _USAGES:
            errors.append(not_supported(f"spec.usages[{index}]", usage, sorted(_USAGES)))
        elif usage in spec.usages[:index]:
            errors.append(duplicate(f"spec.usages[{index}]", usage))
    _check_signer(spec.signer_name, errors)
    if spec.expiration_seconds is not None and spec.expiration_seconds < _EXPIRATION_MINIMUM_SECONDS:
        detail = "may not specify a duration less than 600 seconds (10 minutes)"
        errors.append(invalid("spec.expirationSeconds", spec.expiration_seconds, detail))
    return errors


def _check_signer(name: str, errors: list[FieldError]) -> None:
    path = "spec.signerName"
    if not name:
        errors.append(required(path))
        return
    if name == _LEGACY_SIGNER:
        errors.append(invalid(path, name, "the legacy signerName is not allowed via this API version"))
        return
    domain, slash, rest = name.partition("/")
    if not slash or not rest or "/" in rest:
        detail = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        errors.append(invalid(path, name, detail))
        return
    if "." not in domain:
        errors.append(invalid(path, domain, "should be a domain with at least two segments separated by dots"))
    refuse(names.dns_subdomain(domain), domain, path, errors)
    for part in rest.split("."):
        refuse(names.dns_label(part), part, path, errors)


def _request_update(new: CertificateSigningRequest, old: CertificateSigningRequest) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    check_immutable(new.spec, old.spec, "spec", errors)
    return errors


def _request_status(new: CertificateSigningRequest, old: CertificateSigningRequest) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    for index, condition in enumerate(new.status.conditions):
        path = f"status.conditions[{index}]"
        if not condition.type:
            errors.append(required(f"{path}.type"))
        if condition.status not in ("True", "False", "Unknown"):
            errors.append(not_supported(f"{path}.status", condition.status, ("True", "False", "Unknown")))
        elif condition.type in ("Approved", "Denied", "Failed") and condition.status != "True":
            errors.append(not_supported(f"{path}.status", condition.status, ("True",)))
    given = {condition.type for condition in new.status.conditions}
    if {"Approved", "Denied"} <= given:
        detail = "Approved and Denied conditions are mutually exclusive"
        errors.append(invalid("status.conditions", "Denied", detail))
    before = {condition.type for condition in old.status.conditions}
    removed = [kind for kind in ("Approved", "Denied", "Failed") if kind in before and kind not in given]
    detail = "updates may not remove a condition of type"
    errors.extend(forbidden("status.conditions", f"{detail} {quote(kind)}") for kind in removed)
    if old.status.certificate and new.status.certificate != old.status.certificate:
        errors.append(forbidden("status.certificate", "updates may not change certificate content"))
    return errors


CREATE: Final[dict[type, Any]] = {CertificateSigningRequest: _request}
UPDATE: Final[dict[type, Any]] = {CertificateSigningRequest: _request_update}
STATUS: Final[dict[type, Any]] = {CertificateSigningRequest: _request_status}
