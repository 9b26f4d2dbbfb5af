"""Certificates that a machine gets from its cluster: key and request made here, signed there, kept as one PEM file.

A file holds certificate and key, is written whole and 0600, and is what kubeconfigs and TLS contexts point at: who
reads it again has the renewed pair.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tiphys.api.errors import ApiError
from tiphys.api.types.certificates_v1 import CertificateSigningRequest, CertificateSigningRequestSpec
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.client.client import Client
from tiphys.cmd.certificates import private_pem, write_private

REQUEST_SECONDS = 60.0
"""How long to wait for approval and signing before it is called a failure."""


class RequestRefused(Exception):
    """A certificate that will not be had: the request was denied, failed, or nobody signs it. The text says which."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One certificate: who signs it, what it says, where it is kept."""

    path: Path
    signer: str
    usages: tuple[str, ...]
    common_name: str
    organizations: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    """DNS names and addresses."""


def read(wanted: Wanted, now: datetime) -> x509.Certificate | None:
    """The certificate in the file; None when there is none, or none that is valid now and says what is wanted."""
    try:
        pem = wanted.path.read_bytes()
        certificate = x509.load_pem_x509_certificate(pem)
        key = serialization.load_pem_private_key(pem, None)
    except (OSError, ValueError):
        return None
    said = {str(part.value) for part in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)}
    good = key.public_key() == certificate.public_key() and said == {wanted.common_name}
    if not good or not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc:
        return None
    return certificate if _names(certificate) == {_general_name(name) for name in wanted.names} else None


def renew_at(certificate: x509.Certificate, share: float) -> datetime:
    """When to renew: after `share` (0 to 1) of its life."""
    life: timedelta = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return certificate.not_valid_before_utc + life * share


async def obtain(
    client: Client,
    wanted: Wanted,
    *,
    timeout_seconds: float = REQUEST_SECONDS,
    expiration_seconds: int | None = None,
    created: Callable[[CertificateSigningRequest], Awaitable[None]] | None = None,
) -> None:
    """Have a new key certified and write the file. `created` is given the request, to approve it for example. Raises
    RequestRefused, ApiError or OSError."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = request_pem(wanted, key)
    stored = await client.create(
        CertificateSigningRequest(
            metadata=ObjectMeta(name=f"node-csr-{hashlib.sha256(request).hexdigest()[:32]}"),
            spec=CertificateSigningRequestSpec(
                request=base64.b64encode(request).decode(),
                signer_name=wanted.signer,
                usages=wanted.usages,
                expiration_seconds=expiration_seconds,
            ),
        )
    )
    name = stored.metadata.name or ""
    if created is not None:
        await created(stored)
    try:
        async with asyncio.timeout(timeout_seconds):
            certificate = await _signed(client, name)
    except TimeoutError:
        text = f"certificate signing request {name} was not approved and signed in {timeout_seconds:.0f} s"
        raise RequestRefused(f"{text}: see `kubectl get csr`, or do the controllers not run?") from None
    write_private(wanted.path, certificate.rstrip() + b"\n" + private_pem(key))


def request_pem(wanted: Wanted, key: ec.EllipticCurvePrivateKey) -> bytes:
    """The PKCS #10 request."""
    organizations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, value) for value in wanted.organizations]
    subject = x509.Name([*organizations, x509.NameAttribute(NameOID.COMMON_NAME, wanted.common_name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if wanted.names:
        names = x509.SubjectAlternativeName([_general_name(name) for name in wanted.names])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


async def _signed(client: Client, name: str) -> bytes:
    """The certificate of a request once it has one."""
    while True:
        async with aclosing(_versions(client, name)) as versions:  # type: ignore[type-var]
            async for request in versions:
                for condition in request.status.conditions:
                    if condition.type in ("Denied", "Failed"):
                        why = condition.message or condition.reason or "no reason is given"
                        text = f"certificate signing request {name} has {condition.type.lower()}: {why}"
                        raise RequestRefused(text.replace("has denied", "was denied"))
                if request.status.certificate:
                    return base64.b64decode(request.status.certificate)
        await asyncio.sleep(0.1)


async def _versions(client: Client, name: str) -> AsyncIterator[CertificateSigningRequest]:
    """As it is and as it changes, until the server ends the watch. Raises RequestRefused when it is deleted."""
    try:
        async for event in client.watch(CertificateSigningRequest, field_selector=f"metadata.name={name}"):
            if event.type == "DELETED":
                raise RequestRefused(f"certificate signing request {name} was deleted")
            yield event.object
    except ApiError as error:
        if error.code != 410:
            raise


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _names(certificate: x509.Certificate) -> set[x509.GeneralName]:
    try:
        return set(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return set()
