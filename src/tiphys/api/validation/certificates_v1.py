"""Checks of certificate signing requests."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, Final

from cryptography import x509

from tiphys.api import names
from tiphys.api.certificate_requests import RequestError, parse_encoded
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
_CERTIFICATE: Final = "CERTIFICATE"
_DECISIONS: Final = ("Approved", "Denied")
_LEGACY_SIGNER: Final = "kubernetes.io/legacy-unknown"


def _request(obj: CertificateSigningRequest) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata(obj.metadata, False, names.path_segment, "metadata", errors)
    spec = obj.spec
    try:
        parse_encoded(spec.request)
    except RequestError as error:
        errors.append(invalid("spec.request", spec.request, str(error)))
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
    """An update by a signer: the certificate and Failed are its to set, once."""
    errors = _status_parts(new, old)
    if old.status.certificate:
        if new.status.certificate != old.status.certificate:
            errors.append(forbidden("status.certificate", "updates may not change certificate content"))
    elif new.status.certificate:
        _check_certificate(new.status.certificate, errors)
    for kind in _DECISIONS:
        if _count(new, kind) > _count(old, kind):
            errors.append(forbidden("status.conditions", f"updates may not add a condition of type {quote(kind)}"))
    return errors


def _request_approval(new: CertificateSigningRequest, old: CertificateSigningRequest) -> list[FieldError]:
    """An update by an approver: conditions only."""
    return _status_parts(new, old)


def _status_parts(new: CertificateSigningRequest, old: CertificateSigningRequest) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    _check_conditions(new, errors)
    errors.extend(
        forbidden("status.conditions", f"updates may not remove a condition of type {quote(kind)}")
        for kind in (*_DECISIONS, "Failed")
        if _count(new, kind) < _count(old, kind)
    )
    return errors


def _check_conditions(obj: CertificateSigningRequest, errors: list[FieldError]) -> None:
    seen: set[str] = set()
    for index, condition in enumerate(obj.status.conditions):
        path = f"status.conditions[{index}]"
        if not condition.type:
            errors.append(required(f"{path}.type"))
        if condition.type in (*_DECISIONS, "Failed"):
            if not condition.status:
                errors.append(required(f"{path}.status"))
            elif condition.status != "True":
                errors.append(not_supported(f"{path}.status", condition.status, ("True",)))
        elif not condition.status:
            errors.append(required(f"{path}.status"))
        elif condition.status not in ("True", "False", "Unknown"):
            errors.append(not_supported(f"{path}.status", condition.status, ("False", "True", "Unknown")))
        if condition.type in seen:
            errors.append(duplicate(f"{path}.type", condition.type))
        seen.add(condition.type)
        if condition.type in _DECISIONS and {*_DECISIONS} - {condition.type} < seen:
            detail = "Approved and Denied conditions are mutually exclusive"
            errors.append(invalid(f"{path}.type", condition.type, detail))


def _check_certificate(text: str, errors: list[FieldError]) -> None:
    """PEM blocks that are certificates, one at least, without headers."""
    path = "status.certificate"
    try:
        pem = base64.b64decode(text)
    except (binascii.Error, ValueError):
        pem = b""
    blocks = re.findall(rb"-----BEGIN ([^-\n]+)-----", pem)
    if not blocks:
        errors.append(invalid(path, "<certificate data>", "must contain at least one CERTIFICATE PEM block"))
        return
    for kind in blocks:
        if kind.decode("latin-1") != _CERTIFICATE:
            detail = f"only CERTIFICATE PEM blocks are allowed, found {quote(kind.decode('latin-1'))}"
            errors.append(invalid(path, "<certificate data>", detail))
            return
    try:
        x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        errors.append(invalid(path, "<certificate data>", str(error)))


def _count(obj: CertificateSigningRequest, kind: str) -> int:
    return sum(condition.type == kind for condition in obj.status.conditions)


CREATE: Final[dict[type, Any]] = {CertificateSigningRequest: _request}
UPDATE: Final[dict[type, Any]] = {CertificateSigningRequest: _request_update}
STATUS: Final[dict[type, Any]] = {CertificateSigningRequest: _request_status}
PARTS: Final[dict[type, Any]] = {CertificateSigningRequest: {"approval": _request_approval}}
