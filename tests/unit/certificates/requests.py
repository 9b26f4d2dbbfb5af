"""Certificate signing requests as tests need them."""

from __future__ import annotations

import base64
import ipaddress
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tiphys.api.types.certificates_v1 import CertificateSigningRequest, CertificateSigningRequestSpec
from tiphys.api.types.meta_v1 import ObjectMeta

KEY = ec.generate_private_key(ec.SECP256R1())
PATH = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
KUBELET = "kubernetes.io/kube-apiserver-client-kubelet"
CLIENT = "kubernetes.io/kube-apiserver-client"
SERVING = "kubernetes.io/kubelet-serving"


def pem(common_name: str = "jane", organizations: tuple[str, ...] = (), names: tuple[str, ...] = ()) -> str:
    """``spec.request``: base64 of a PEM request; `names` are DNS names or addresses."""
    subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, value) for value in organizations]
    subject.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_name(name) for name in names]), critical=False)
    request = builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return base64.b64encode(request).decode()


def body(name: str = "r", **spec: Any) -> dict[str, Any]:
    """A request as a client sends it."""
    given = {"request": pem(), "signerName": CLIENT, "usages": ["client auth"], **spec}
    return {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": name},
        "spec": given,
    }


def request(signer: str, usages: tuple[str, ...], encoded: str, **spec: Any) -> CertificateSigningRequest:
    """A stored request."""
    return CertificateSigningRequest(
        metadata=ObjectMeta(name="r", creation_timestamp="2026-01-01T00:00:00Z"),
        spec=CertificateSigningRequestSpec(signer_name=signer, usages=usages, request=encoded, **spec),
    )


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
