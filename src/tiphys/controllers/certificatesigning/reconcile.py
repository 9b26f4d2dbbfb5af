"""What is signed, and the certificate. Pure: time and serial number are arguments."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from tiphys.api.certificate_requests import (
    API_SERVER_CLIENT,
    API_SERVER_CLIENT_KUBELET,
    KUBELET_SERVING,
    LEGACY_UNKNOWN,
    CertificateRequest,
    client_usages_problem,
    kubelet_client_problem,
    kubelet_serving_problem,
)
from tiphys.api.types.certificates_v1 import CertificateSigningRequest, CertificateSigningRequestCondition

MINIMUM_SECONDS: Final = 600
BACKDATE: Final = timedelta(minutes=5)
"""A peer whose clock is somewhat behind must not refuse a certificate made a moment ago."""
SHORT: Final = timedelta(hours=8)
"""Certificates that live shorter than this do not lose what they are backdated by."""

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

_KEY_USAGES: Final = {
    "signing": "digital_signature",
    "digital signature": "digital_signature",
    "content commitment": "content_commitment",
    "key encipherment": "key_encipherment",
    "key agreement": "key_agreement",
    "data encipherment": "data_encipherment",
    "cert sign": "key_cert_sign",
    "crl sign": "crl_sign",
    "encipher only": "encipher_only",
    "decipher only": "decipher_only",
}
_EXTENDED: Final = {
    "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "code signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "s/mime": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "ipsec end system": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.5"),
    "ipsec tunnel": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.6"),
    "ipsec user": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.7"),
    "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "ocsp signing": ExtendedKeyUsageOID.OCSP_SIGNING,
    "microsoft sgc": x509.ObjectIdentifier("1.3.6.1.4.1.311.10.3.3"),
    "netscape sgc": x509.ObjectIdentifier("2.16.840.1.113730.4.1"),
}
_NOTHING_KEY_USAGE: Final = dict.fromkeys(
    (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
        *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    ),
    False,
)


def _client(request: CertificateRequest, usages: Iterable[str]) -> str:
    return client_usages_problem(usages)


def _anything(request: CertificateRequest, usages: Iterable[str]) -> str:
    return ""


SIGNERS: Final[Mapping[str, Callable[[CertificateRequest, Iterable[str]], str]]] = {
    API_SERVER_CLIENT: _client,
    API_SERVER_CLIENT_KUBELET: kubelet_client_problem,
    KUBELET_SERVING: kubelet_serving_problem,
    LEGACY_UNKNOWN: _anything,
}
"""Kubernetes' own signers, and why each would not sign a request ("" if it would)."""


def is_due(request: CertificateSigningRequest) -> bool:
    """Whether a request is one of ours, approved, and not signed or given up yet."""
    if request.spec.signer_name not in SIGNERS or request.status.certificate:
        return False
    types = {condition.type for condition in request.status.conditions}
    return "Approved" in types and not types & {"Denied", "Failed"}


def failed(request: CertificateSigningRequest, reason: str, message: str) -> CertificateSigningRequest:
    """The request with the reason why it will not be signed."""
    condition = CertificateSigningRequestCondition(type="Failed", status="True", reason=reason, message=message)
    status = msgspec.structs.replace(request.status, conditions=(*request.status.conditions, condition))
    return msgspec.structs.replace(request, status=status)


def signed(request: CertificateSigningRequest, certificate: x509.Certificate) -> CertificateSigningRequest:
    """The request with its certificate."""
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    status = msgspec.structs.replace(request.status, certificate=base64.b64encode(pem).decode())
    return msgspec.structs.replace(request, status=status)


def sign(
    asked: CertificateRequest,
    usages: Iterable[str],
    expiration_seconds: int | None,
    *,
    authority: x509.Certificate,
    key: Key,
    longest: timedelta,
    now: datetime,
    serial: int,
) -> x509.Certificate:
    """The certificate: the request's subject and names, its usages, valid for as long as asked, but not longer than
    `longest` and not longer than the authority itself."""
    lifetime = longest
    if expiration_seconds is not None:
        lifetime = min(max(timedelta(seconds=expiration_seconds), timedelta(seconds=MINIMUM_SECONDS)), longest)
    start = now - BACKDATE
    end = min((now if lifetime < SHORT else start) + lifetime, authority.not_valid_after_utc)
    public = asked.csr.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(asked.csr.subject)
        .issuer_name(authority.subject)
        .public_key(public)
        .serial_number(serial)
        .not_valid_before(start.astimezone(UTC))
        .not_valid_after(end.astimezone(UTC))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    if bits := _key_usage(usages):
        builder = builder.add_extension(bits, critical=True)
    if extended := list(dict.fromkeys(_EXTENDED[usage] for usage in usages if usage in _EXTENDED)):
        builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
    try:
        names = asked.csr.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        pass
    else:
        builder = builder.add_extension(names.value, critical=names.critical)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm)


def _key_usage(usages: Iterable[str]) -> x509.KeyUsage | None:
    bits = {_KEY_USAGES[usage] for usage in usages if usage in _KEY_USAGES}
    if not bits:
        return None
    # Only with key agreement do these two say anything.
    if bits & {"encipher_only", "decipher_only"}:
        bits.add("key_agreement")
    return x509.KeyUsage(**_NOTHING_KEY_USAGE | dict.fromkeys(bits, True))
