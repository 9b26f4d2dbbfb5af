"""Keys and X.509 certificates: ECDSA P-256, kept as PEM files that only their owner reads."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_VALIDITY = timedelta(days=3650)
LEAF_VALIDITY = timedelta(days=365)
RENEW_BEFORE = timedelta(days=60)
# A peer whose clock is somewhat behind must not refuse a certificate made a moment ago.
CLOCK_SKEW = timedelta(minutes=5)


class PkiError(Exception):
    """A key or certificate on disk that cannot be used; the message says which and what to do."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and its key, PEM."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class Profile:
    """What a certificate says. A server's has names (DNS names and IP addresses), a client's has none."""

    common_name: str
    organizations: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    connects: bool = False
    """Whether a server's certificate also says who it is when it calls others."""


class Authority:
    """A certificate authority: issues for profiles, and tells whether what it issued is still good."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._certificate = certificate
        self._key = key

    @property
    def pem(self) -> bytes:
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    @classmethod
    def load_or_create(cls, certificate_path: Path, key_path: Path, common_name: str, now: datetime) -> Authority:
        """The authority in these files, made if both are missing. Raises PkiError for one without the other: a new
        authority would lock out everyone who trusts the old one."""
        if not certificate_path.exists() and not key_path.exists():
            authority = cls._create(common_name, now)
            write_private(key_path, private_pem(authority._key))
            write_private(certificate_path, authority.pem)
            return authority
        try:
            certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
            key = serialization.load_pem_private_key(key_path.read_bytes(), None)
        except (OSError, ValueError) as error:
            raise PkiError(f"the cluster's authority {certificate_path} and {key_path} is damaged: {error}") from None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise PkiError(f"{key_path} is no ECDSA key")
        if certificate.public_key() != key.public_key():
            raise PkiError(f"{certificate_path} does not belong to {key_path}")
        return cls(certificate, key)

    @classmethod
    def _create(cls, common_name: str, now: datetime) -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        public = key.public_key()
        usage = x509.KeyUsage(True, False, True, False, False, True, False, False, False)
        certificate = (
            _builder(subject, subject, public, now, CA_VALIDITY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key)

    def issue(self, profile: Profile, now: datetime) -> Identity:
        """A fresh key and certificate."""
        key = ec.generate_private_key(ec.SECP256R1())
        public = key.public_key()
        purposes = [ExtendedKeyUsageOID.SERVER_AUTH] if profile.names else []
        if profile.connects or not profile.names:
            purposes.append(ExtendedKeyUsageOID.CLIENT_AUTH)
        builder = (
            _builder(_subject(profile), self._certificate.subject, public, now, LEAF_VALIDITY)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.KeyUsage(True, False, True, False, False, False, False, False, False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        if profile.names:
            alternatives = x509.SubjectAlternativeName([_general_name(name) for name in profile.names])
            builder = builder.add_extension(alternatives, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return Identity(certificate.public_bytes(serialization.Encoding.PEM), private_pem(key))

    def is_good(self, identity: Identity, profile: Profile, now: datetime) -> bool:
        """Whether `identity` was issued here for `profile`, with its key, and lasts for a while yet."""
        try:
            certificate = x509.load_pem_x509_certificate(identity.certificate)
            key = serialization.load_pem_private_key(identity.key, None)
            certificate.verify_directly_issued_by(self._certificate)
        except Exception:  # whatever is wrong with it, a new one is the answer
            return False
        return (
            key.public_key() == certificate.public_key()
            and certificate.not_valid_after_utc - now > RENEW_BEFORE
            and certificate.subject == _subject(profile)
            and _names(certificate) == {_general_name(name) for name in profile.names}
        )


def load_or_issue(authority: Authority, profile: Profile, stem: Path, now: datetime) -> Identity:
    """The identity in ``<stem>.crt`` and ``<stem>.key``; issued anew when missing, damaged, of another profile or
    near its end."""
    certificate_path, key_path = stem.with_name(f"{stem.name}.crt"), stem.with_name(f"{stem.name}.key")
    if certificate_path.exists() and key_path.exists():
        found = Identity(certificate_path.read_bytes(), key_path.read_bytes())
        if authority.is_good(found, profile, now):
            return found
    fresh = authority.issue(profile, now)
    write_private(key_path, fresh.key)
    write_private(certificate_path, fresh.certificate)
    return fresh


def new_signing_key() -> tuple[bytes, bytes]:
    """A key pair that signs tokens: private and public PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private_pem(key), public


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all; its directory is made if need be (0700)."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_bytes(data)
    fresh.replace(path)


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, now: datetime, validity: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + validity)
    )


def _subject(profile: Profile) -> x509.Name:
    organizations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, value) for value in profile.organizations]
    return x509.Name([*organizations, x509.NameAttribute(NameOID.COMMON_NAME, profile.common_name)])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _names(certificate: x509.Certificate) -> set[x509.GeneralName]:
    try:
        found: Sequence[x509.GeneralName] = list(
            certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        )
    except x509.ExtensionNotFound:
        return set()
    return set(found)
