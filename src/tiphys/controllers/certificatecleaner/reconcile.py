"""When a certificate signing request goes. Pure."""

from __future__ import annotations

import base64
import binascii
from typing import Final

from cryptography import x509

from tiphys.api.types.certificates_v1 import CertificateSigningRequest
from tiphys.controllers.pods import seconds_of

DECIDED_SECONDS: Final = 3600.0
"""Approved and signed, denied or failed: for so long after the last word."""
PENDING_SECONDS: Final = 24 * 3600.0
"""Nobody decided, or nobody signed."""


def goes_at(request: CertificateSigningRequest) -> float:
    """Seconds since the epoch at which the request is to be deleted."""
    created = seconds_of(request.metadata.creation_timestamp or "1970-01-01T00:00:00Z")
    moments = [created + PENDING_SECONDS]
    for condition in request.status.conditions:
        if condition.type == "Approved" and condition.last_update_time:
            moments[0] = seconds_of(condition.last_update_time) + PENDING_SECONDS
        over = condition.type in ("Denied", "Failed") or (condition.type == "Approved" and request.status.certificate)
        if over and condition.last_update_time:
            moments.append(seconds_of(condition.last_update_time) + DECIDED_SECONDS)
    if request.status.certificate:
        moments.append(_certificate_end(request.status.certificate))
    return min(moments)


def _certificate_end(text: str) -> float:
    try:
        certificate = x509.load_pem_x509_certificate(base64.b64decode(text))
    except (binascii.Error, ValueError):
        return float("inf")
    return certificate.not_valid_after_utc.timestamp()
