"""TLS contexts: 1.2 and newer, HTTP/1.1 by ALPN, client certificates optional; and who such a certificate names."""

from __future__ import annotations

import hashlib
import os
import ssl
from pathlib import Path
from typing import cast

from .messages import PeerIdentity


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
    return PeerIdentity(name, tuple(organizations), hashlib.sha256(der).hexdigest(), ends)


def _harden(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
