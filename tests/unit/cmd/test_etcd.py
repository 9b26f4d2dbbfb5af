"""A member of etcd: how it is started, and the credentials of all who talk to it."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from tiphys.cmd import etcd
from tiphys.cmd.config import ClusterConfig

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BOTH = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}


@pytest.fixture
def config(tmp_path: Path) -> ClusterConfig:
    folder = tmp_path / "pki" / "etcd"
    return ClusterConfig(
        data_dir=str(tmp_path),
        node_name="control-1",
        node_ip="172.18.0.2",
        etcd_member="control-1",
        etcd_servers=("https://172.18.0.2:2379",),
        etcd_ca=str(folder / "ca.crt"),
        etcd_certificate=str(folder / "client.crt"),
        etcd_key=str(folder / "client.key"),
        etcd_initial_cluster=("control-1=https://172.18.0.2:2380", "control-2=https://172.18.0.3:2380"),
    )


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def uses(path: Path) -> set[x509.ObjectIdentifier]:
    return set(certificate(path).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def test_a_member_is_server_and_client_of_members_and_an_apiserver_is_a_client(config: ClusterConfig) -> None:
    etcd.ensure_credentials(config, NOW)
    folder = config.pki_dir / "etcd"
    assert uses(folder / "member.crt") == BOTH
    assert uses(folder / "client.crt") == {ExtendedKeyUsageOID.CLIENT_AUTH}
    names = certificate(folder / "member.crt").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["172.18.0.2", "127.0.0.1"]
    authority = certificate(folder / "ca.crt")
    for name in ("member", "client"):
        certificate(folder / f"{name}.crt").verify_directly_issued_by(authority)


def test_keys_are_their_owners(config: ClusterConfig) -> None:
    etcd.ensure_credentials(config, NOW)
    keys = sorted((config.pki_dir / "etcd").glob("*.key"))
    assert [key.name for key in keys] == ["ca.key", "client.key", "member.key"]
    assert {key.stat().st_mode & 0o777 for key in keys} == {0o600}


def test_credentials_stay_until_they_are_old(config: ClusterConfig) -> None:
    member = config.pki_dir / "etcd" / "member.crt"
    etcd.ensure_credentials(config, NOW)
    first = member.read_bytes()
    etcd.ensure_credentials(config, NOW + timedelta(days=200))
    assert member.read_bytes() == first
    etcd.ensure_credentials(config, NOW + timedelta(days=330))
    assert member.read_bytes() != first


def test_a_member_trusts_its_own_authority_alone_and_ends_with_its_parent(config: ClusterConfig) -> None:
    line = etcd.command(config)
    assert line[:4] == ["setpriv", "--pdeathsig", "KILL", "etcd"]
    given = dict(itertools.pairwise(line))
    assert given["--listen-client-urls"] == given["--advertise-client-urls"] == "https://172.18.0.2:2379"
    assert given["--listen-peer-urls"] == given["--initial-advertise-peer-urls"] == "https://172.18.0.2:2380"
    assert given["--initial-cluster"] == ",".join(config.etcd_initial_cluster)
    for kind in ("", "peer-"):
        assert given[f"--{kind}trusted-ca-file"] == config.etcd_ca
        assert f"--{kind}client-cert-auth" in line
    assert given["--data-dir"] == str(config.etcd_dir)


def test_nothing_is_issued_for_an_etcd_of_others(config: ClusterConfig, tmp_path: Path) -> None:
    from msgspec.structs import replace

    theirs = replace(config, etcd_member="", etcd_certificate="/etc/etcd/client.crt")
    etcd.ensure_credentials(theirs, NOW)
    assert not (tmp_path / "pki" / "etcd").exists()
