"""Which requests are approved without a person, what is signed, and when requests go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.unit.certificates.requests import CLIENT, KUBELET, SERVING, pem, request
from tiphys.api.certificate_requests import parse_encoded
from tiphys.api.types.certificates_v1 import CertificateSigningRequestCondition, CertificateSigningRequestStatus
from tiphys.api.types.core_v1 import Node, NodeAddress, NodeStatus
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.base.clock import parse_rfc3339
from tiphys.cmd.certificates import Authority
from tiphys.controllers.certificateapproving.reconcile import parsed, permissions, serves_as_itself, serving_node
from tiphys.controllers.certificatecleaner.reconcile import goes_at
from tiphys.controllers.certificatesigning.reconcile import SIGNERS, is_due, sign, signed

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CLIENT_USAGES = ("digital signature", "client auth")
SERVER_USAGES = ("digital signature", "key encipherment", "server auth")
N1 = pem("system:node:n1", ("system:nodes",))


def subresources(signer: str, usages: tuple[str, ...], encoded: str, username: str) -> list[str]:
    asked = request(signer, usages, encoded, username=username)
    read = parsed(asked)
    assert read is not None
    return [permission.subresource for permission in permissions(asked, read)]


def test_kubelets_first_and_later_certificates() -> None:
    assert subresources(KUBELET, CLIENT_USAGES, N1, "system:bootstrap:abcdef") == ["nodeclient"]
    assert subresources(KUBELET, CLIENT_USAGES, N1, "system:node:n1") == ["selfnodeclient", "nodeclient"]
    assert subresources(KUBELET, ("client auth",), N1, "system:node:n1") == []
    assert subresources(KUBELET, CLIENT_USAGES, pem("system:node:n1"), "system:node:n1") == []
    assert subresources(CLIENT, CLIENT_USAGES, N1, "system:node:n1") == []
    named = pem("system:node:n1", ("system:nodes",), ("n1",))
    assert subresources(KUBELET, CLIENT_USAGES, named, "system:node:n1") == []


def test_the_agents_of_a_node_and_nobody_else() -> None:
    assert subresources(CLIENT, CLIENT_USAGES, pem("system:kube-proxy"), "system:node:n1") == ["nodeagentclient"]
    assert subresources(CLIENT, CLIENT_USAGES, pem("system:kube-proxy", ("x",)), "system:node:n1") == []
    assert subresources(CLIENT, CLIENT_USAGES, pem("system:kube-scheduler"), "system:node:n1") == []


def test_what_a_kubelet_serves_with_is_held_against_its_node() -> None:
    encoded = pem("system:node:n1", ("system:nodes",), ("n1", "192.0.2.7"))
    asked = request(SERVING, SERVER_USAGES, encoded, username="system:node:n1", groups=("system:nodes",))
    read = parsed(asked)
    assert read is not None and serving_node(asked, read) == "n1"
    stranger = request(SERVING, SERVER_USAGES, encoded, username="system:node:n2", groups=("system:nodes",))
    assert serving_node(stranger, read) == ""

    def node(*addresses: tuple[str, str]) -> Node:
        status = NodeStatus(addresses=tuple(NodeAddress(type=kind, address=value) for kind, value in addresses))
        return Node(metadata=ObjectMeta(name="n1"), status=status)

    assert serves_as_itself(read, node(("InternalIP", "192.0.2.7")))
    assert not serves_as_itself(read, node(("InternalIP", "192.0.2.8")))
    assert not serves_as_itself(read, node(("Hostname", "192.0.2.7")))


def status(*types: str, certificate: str | None = None, at: str = "2026-01-01T00:00:00Z") -> Any:
    conditions = tuple(CertificateSigningRequestCondition(type=t, status="True", last_update_time=at) for t in types)
    return CertificateSigningRequestStatus(conditions=conditions, certificate=certificate)


@pytest.mark.parametrize(
    ("now", "due"),
    [(status(), False), (status("Approved"), True), (status("Denied"), False), (status("Approved", "Failed"), False)],
)
def test_only_what_is_approved_is_signed(now: CertificateSigningRequestStatus, due: bool) -> None:
    asked = request(KUBELET, CLIENT_USAGES, N1)
    assert is_due(msgspec.structs.replace(asked, status=now)) is due
    foreign = request("example.com/own", CLIENT_USAGES, N1)
    assert not is_due(msgspec.structs.replace(foreign, status=now))


@pytest.mark.parametrize(
    ("signer", "usages", "encoded", "says"),
    [
        (CLIENT, ("client auth",), pem(), ""),
        (CLIENT, ("server auth",), pem(), "usages must include client auth"),
        (CLIENT, ("client auth", "server auth"), pem(), "usages may not include server auth"),
        (KUBELET, CLIENT_USAGES, N1, ""),
        (KUBELET, CLIENT_USAGES, pem("jane"), "subject organization is not system:nodes"),
        (SERVING, SERVER_USAGES, N1, "at least one of dnsNames or ipAddresses is required"),
        ("kubernetes.io/legacy-unknown", ("any",), pem(), ""),
    ],
)
def test_what_each_signer_signs(signer: str, usages: tuple[str, ...], encoded: str, says: str) -> None:
    assert SIGNERS[signer](parse_encoded(encoded), usages) == says


def authority(tmp_path: Any) -> tuple[x509.Certificate, Any]:
    made = Authority.load_or_create(tmp_path / "ca.crt", tmp_path / "ca.key", "kubernetes", NOW)
    return made._certificate, made._key


def test_a_certificate_says_what_was_asked(tmp_path: Any) -> None:
    ca, key = authority(tmp_path)
    encoded = pem("system:node:n1", ("system:nodes",), ("n1", "192.0.2.7"))
    made = sign(
        parse_encoded(encoded),
        SERVER_USAGES,
        None,
        authority=ca,
        key=key,
        longest=timedelta(days=365),
        now=NOW,
        serial=7,
    )
    made.verify_directly_issued_by(ca)
    assert made.subject == parse_encoded(encoded).csr.subject and made.serial_number == 7
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["n1"]
    bits = made.extensions.get_extension_for_class(x509.KeyUsage).value
    assert bits.digital_signature and bits.key_encipherment and not bits.key_cert_sign
    extended = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(extended) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert made.not_valid_after_utc == NOW + timedelta(days=365) - timedelta(minutes=5)


@pytest.mark.parametrize(
    ("seconds", "longest", "lives"),
    [
        (None, timedelta(hours=1), timedelta(hours=1)),
        (3600, timedelta(days=1), timedelta(hours=1)),
        (7200, timedelta(hours=1), timedelta(hours=1)),
        (None, timedelta(days=36500), timedelta(days=3650)),
    ],
)
def test_how_long_it_lives(tmp_path: Any, seconds: int | None, longest: timedelta, lives: timedelta) -> None:
    ca, key = authority(tmp_path)
    asked = parse_encoded(pem())
    made = sign(asked, ("client auth",), seconds, authority=ca, key=key, longest=longest, now=NOW, serial=1)
    assert made.not_valid_after_utc == NOW + lives


def test_when_a_request_goes(tmp_path: Any) -> None:
    asked = request(CLIENT, ("client auth",), pem())
    created = parse_rfc3339("2026-01-01T00:00:00Z")
    later = "2026-01-01T05:00:00Z"
    ca, key = authority(tmp_path)
    made = sign(
        parse_encoded(pem()), ("any",), 900, authority=ca, key=key, longest=timedelta(days=1), now=NOW, serial=1
    )
    text = signed(asked, made).status.certificate
    for now, hours in (
        (status(), 24),
        (status("Denied", at=later), 6),
        (status("Approved", "Failed", at=later), 6),
        (status("Approved", at=later), 29),
        (status("Approved", at="2026-01-01T00:00:00Z", certificate=text), 0.25),  # it ends before its hour is over
    ):
        assert goes_at(msgspec.structs.replace(asked, status=now)) - created == hours * 3600
