"""TLS contexts: 1.2 and newer, HTTP/1.1 by ALPN, client certificates optional; and who such a certificate names."""

from __future__ import annotations

import hashlib
import os
import re
import ssl
import sys
from pathlib import Path
from typing import Final, cast
from weakref import WeakKeyDictionary

from .messages import PeerIdentity

_CERTIFICATE: Final = re.compile("-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_UNKNOWN: Final = ("unknown",)
_MAX_REMEMBERED: Final = 4096
# Sessions of TLS 1.2 that are taken up again have the peer's certificate but not the chain that was verified.
_verified: WeakKeyDictionary[ssl.SSLContext, dict[str, tuple[str, ...]]] = WeakKeyDictionary()


def server_context(certificate: bytes, key: bytes, *, client_ca: bytes = b"") -> ssl.SSLContext:
    """For a server. PEM in; with `client_ca` clients may show a certificate, which then must be signed by it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _harden(context)
    load_identity(context, certificate, key)
    # Session tickets cost two messages a handshake, and our clients keep their connections.
    context.num_tickets = 0
    if client_ca:
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(cadata=client_ca.decode("ascii"))
    return context


def client_context(
    *, ca: bytes = b"", certificate: bytes = b"", key: bytes = b"", verify: bool = True
) -> ssl.SSLContext:
    """For a client. PEM in; `ca` b"" trusts the system's. `certificate` and `key`, if given, are who we are."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _harden(context)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif ca:
        context.load_verify_locations(cadata=ca.decode("ascii"))
    else:
        context.load_default_certs()
    if certificate:
        load_identity(context, certificate, key)
    return context


def client_context_from_files(
    ca: Path | None, certificate: Path | None = None, key: Path | None = None
) -> ssl.SSLContext:
    """As `client_context`, reading PEM files. Raises OSError when one cannot be read."""
    return client_context(
        ca=ca.read_bytes() if ca else b"",
        certificate=certificate.read_bytes() if certificate else b"",
        key=key.read_bytes() if key else b"",
    )


def load_identity(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Give `context` its certificate chain and key. Raises ssl.SSLError when they do not fit.

    The ssl module reads files only; an anonymous file in memory keeps the key off the disk.
    """
    descriptor = os.memfd_create("tls-identity")
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(certificate.rstrip() + b"\n" + key)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def peer_identity(ssl_object: ssl.SSLObject) -> PeerIdentity | None:
    """The verified certificate's subject; None without one."""
    certificate = ssl_object.getpeercert()
    if not certificate:
        return None
    der = ssl_object.getpeercert(binary_form=True) or b""
    name = ""
    organizations = []
    for relative_name in cast(tuple[tuple[tuple[str, str], ...], ...], certificate.get("subject", ())):
        for key, value in relative_name:
            if key == "commonName":
                name = value
            elif key == "organizationName":
                organizations.append(value)
    ends = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
    fingerprint = hashlib.sha256(der).hexdigest()
    return PeerIdentity(name, tuple(organizations), fingerprint, ends, _authorities(ssl_object, fingerprint))


def fingerprints(pem: bytes) -> frozenset[str]:
    """Of all certificates in a PEM bundle, as `PeerIdentity.authorities` has them."""
    blocks = _CERTIFICATE.findall(pem.decode("ascii"))
    return frozenset(hashlib.sha256(ssl.PEM_cert_to_DER_cert(block)).hexdigest() for block in blocks)


def _authorities(ssl_object: ssl.SSLObject, fingerprint: str) -> tuple[str, ...]:
    """The certificates that vouch for the peer's; never none, since a peer without any is one in this process."""
    remembered = _verified.setdefault(ssl_object.context, {})
    chain = _verified_chain(ssl_object)
    if not chain:
        return remembered.get(fingerprint, _UNKNOWN)
    # An authority's own certificate vouches for itself.
    found = tuple(hashlib.sha256(der).hexdigest() for der in chain[1:] or chain)
    if len(remembered) >= _MAX_REMEMBERED:
        remembered.clear()
    remembered[fingerprint] = found
    return found


def _verified_chain(ssl_object: ssl.SSLObject) -> list[bytes]:
    """DER, the peer's first; empty for a session that was taken up again."""
    if sys.version_info >= (3, 13):
        return list(ssl_object.get_verified_chain() or ())
    # Public since 3.13; what is below has had it since 3.10.
    found = getattr(ssl_object, "_sslobj").get_verified_chain() or ()  # noqa: B009
    return [ssl.PEM_cert_to_DER_cert(one.public_bytes()) for one in found]


def _harden(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
