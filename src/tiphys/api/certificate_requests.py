"""What a certificate signing request asks for, and whether a node's request is as nodes' requests must be."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.x509.oid import NameOID

API_SERVER_CLIENT: Final = "kubernetes.io/kube-apiserver-client"
API_SERVER_CLIENT_KUBELET: Final = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING: Final = "kubernetes.io/kubelet-serving"
LEGACY_UNKNOWN: Final = "kubernetes.io/legacy-unknown"

CLIENT_USAGES: Final = ("digital signature", "client auth")
SERVER_USAGES: Final = ("digital signature", "server auth")
NODE_PREFIX: Final = "system:node:"
NODES_GROUP: Final = "system:nodes"
MASTERS_GROUP: Final = "system:masters"

_LABEL: Final = b"CERTIFICATE REQUEST"
_HEAD: Final = b"-----BEGIN " + _LABEL + b"-----"


class RequestError(ValueError):
    """Bytes that are no usable certificate request; the text is for field errors."""


class CertificateRequest(NamedTuple):
    """A parsed PKCS #10 request: the subject, the alternative names, and `csr`, the request itself."""

    common_name: str
    organizations: tuple[str, ...]
    dns_names: tuple[str, ...]
    ip_addresses: tuple[str, ...]
    email_addresses: tuple[str, ...]
    uris: tuple[str, ...]
    csr: x509.CertificateSigningRequest


def parse(pem: bytes) -> CertificateRequest:
    """The request in the first PEM block. Raises RequestError; a signature that is not its key's too."""
    start = pem.find(b"-----BEGIN ")
    if start < 0 or not pem[start:].startswith(_HEAD):
        raise RequestError("PEM block type must be CERTIFICATE REQUEST")
    try:
        csr = x509.load_pem_x509_csr(pem[start:])
        subject, extensions = csr.subject, csr.extensions
        valid = csr.is_signature_valid
        names = _alternative_names(extensions)
    except Exception as error:  # of bytes anybody may send the parser raises whatever it stumbles over
        raise RequestError(f"the certificate request cannot be read: {error}") from None
    if not valid:
        raise RequestError("the certificate request is not signed by its own key")
    return CertificateRequest(
        common_name=_last(subject, NameOID.COMMON_NAME),
        organizations=tuple(str(part.value) for part in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)),
        dns_names=tuple(names.get_values_for_type(x509.DNSName)) if names else (),
        ip_addresses=tuple(map(str, names.get_values_for_type(x509.IPAddress))) if names else (),
        email_addresses=tuple(names.get_values_for_type(x509.RFC822Name)) if names else (),
        uris=tuple(names.get_values_for_type(x509.UniformResourceIdentifier)) if names else (),
        csr=csr,
    )


def parse_encoded(text: str) -> CertificateRequest:
    """As `parse`, for the base64 text of ``spec.request``."""
    try:
        pem = base64.b64decode(text)
    except (binascii.Error, ValueError):
        pem = b""
    return parse(pem)


def kubelet_client_problem(request: CertificateRequest, usages: Iterable[str]) -> str:
    """Why a request is none for a kubelet's client certificate; "" if it is one."""
    if problem := _node_subject_problem(request):
        return problem
    for what, values in (
        ("dnsNames", request.dns_names),
        ("emailAddresses", request.email_addresses),
        ("ipAddresses", request.ip_addresses),
        ("URIs", request.uris),
    ):
        if values:
            return f"{what} are not allowed"
    return _usages_problem(usages, "client auth")


def kubelet_serving_problem(request: CertificateRequest, usages: Iterable[str]) -> str:
    """Why a request is none for a kubelet's serving certificate; "" if it is one."""
    if problem := _node_subject_problem(request):
        return problem
    if not request.dns_names and not request.ip_addresses:
        return "at least one of dnsNames or ipAddresses is required"
    if request.email_addresses:
        return "emailAddresses are not allowed"
    if request.uris:
        return "URIs are not allowed"
    return _usages_problem(usages, "server auth")


def client_usages_problem(usages: Iterable[str]) -> str:
    """Why usages are not a client's; "" if they are."""
    given = set(usages)
    if "client auth" not in given:
        return "usages must include client auth"
    other = sorted(given - {"client auth", "digital signature", "key encipherment"})
    return f"usages may not include {', '.join(other)}" if other else ""


def _node_subject_problem(request: CertificateRequest) -> str:
    if request.organizations != (NODES_GROUP,):
        return f"subject organization is not {NODES_GROUP}"
    if not request.common_name.startswith(NODE_PREFIX) or request.common_name == NODE_PREFIX:
        return f"subject common name does not begin with {NODE_PREFIX}"
    return ""


def _usages_problem(usages: Iterable[str], needed: str) -> str:
    given = set(usages)
    if given - {"key encipherment"} == {"digital signature", needed}:
        return ""
    return f"usages must be digital signature, {needed} and perhaps key encipherment"


def _alternative_names(extensions: x509.Extensions) -> x509.SubjectAlternativeName | None:
    try:
        return extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None


def _last(subject: x509.Name, oid: x509.ObjectIdentifier) -> str:
    found = subject.get_attributes_for_oid(oid)
    return str(found[-1].value) if found else ""
