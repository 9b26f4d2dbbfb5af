"""Certificates for TLS: those of Secrets, looked at before a proxy is told of them, and one for hosts without."""

from __future__ import annotations

import base64
import datetime
import hashlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

from tiphys.api.types.core_v1 import Secret

DEFAULT_NAME = "Tiphys Ingress Default Certificate"
DEFAULT_DAYS = 3650


def bundle(secret: Secret) -> tuple[str, bytes]:
    """A file's name and its PEM: the chain and the key. Raises ValueError saying what is wrong with the Secret."""
    try:
        chain = base64.b64decode(secret.data.get("tls.crt", ""))
        key = base64.b64decode(secret.data.get("tls.key", ""))
    except ValueError as error:
        raise ValueError(f"its data is not base64: {error}") from None
    if not chain or not key:
        raise ValueError("it needs tls.crt and tls.key")
    return checked(chain, key)


def checked(chain: bytes, key: bytes) -> tuple[str, bytes]:
    """As `bundle`, of the PEM itself."""
    try:
        certificates = x509.load_pem_x509_certificates(chain)
    except ValueError:
        raise ValueError("tls.crt is not a PEM certificate") from None
    try:
        private = serialization.load_pem_private_key(key, None)
    except (ValueError, TypeError):
        raise ValueError("tls.key is not a PEM private key without a password") from None
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if certificates[0].public_key().public_bytes(*form) != private.public_key().public_bytes(*form):
        raise ValueError("tls.key does not belong to tls.crt")
    # Written anew, so that nothing but certificates and a key can be in the file.
    pem = b"".join(c.public_bytes(Encoding.PEM) for c in certificates)
    pem += private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return f"{hashlib.sha256(pem).hexdigest()[:16]}.pem", pem


def self_signed(now: datetime.datetime) -> bytes:
    """PEM of a certificate nobody trusts and its key: what hosts without TLS show."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, DEFAULT_NAME)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=DEFAULT_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("ingress.local")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(Encoding.PEM)
    return pem + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
