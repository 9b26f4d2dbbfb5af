"""A cluster's credentials on disk."""

from __future__ import annotations

import base64
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from cryptography import x509

from tiphys.cmd import pki
from tiphys.cmd.certificates import PkiError
from tiphys.cmd.config import ClusterConfig

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(name="config")
def _config(tmp_path: Path) -> ClusterConfig:
    return ClusterConfig(data_dir=str(tmp_path / "data"), node_name="node-a", node_ip="192.0.2.7")


def contents(config: ClusterConfig) -> dict[str, bytes]:
    return {str(path.relative_to(config.root)): path.read_bytes() for path in config.root.rglob("*") if path.is_file()}


def test_every_file_is_for_its_owner_only(config: ClusterConfig) -> None:
    pki.ensure(config, NOW)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in config.root.rglob("*") if path.is_file()}
    assert modes and set(modes.values()) == {0o600}


def test_a_second_run_changes_nothing(config: ClusterConfig) -> None:
    first = pki.ensure(config, NOW)
    before = contents(config)
    assert pki.ensure(config, NOW + timedelta(days=200)) == first
    assert contents(config) == before


def test_what_nears_its_end_is_renewed_and_the_authority_and_token_key_stay(config: ClusterConfig) -> None:
    pki.ensure(config, NOW)
    before = contents(config)
    pki.ensure(config, NOW + timedelta(days=330))
    after = contents(config)
    kept = {name for name in before if before[name] == after[name]}
    assert kept == {"pki/ca.crt", "pki/ca.key", "pki/sa.key", "pki/sa.pub"}


def test_another_address_gives_another_serving_certificate(config: ClusterConfig, tmp_path: Path) -> None:
    before = pki.ensure(config, NOW)
    moved = ClusterConfig(data_dir=config.data_dir, node_name="node-a", node_ip="192.0.2.8")
    after = pki.ensure(moved, NOW)
    assert before.ca == after.ca and before.apiserver != after.apiserver
    names = x509.load_pem_x509_certificate(after.apiserver.certificate).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert "kubernetes.default.svc.cluster.local" in names.value.get_values_for_type(x509.DNSName)
    addresses = {str(address) for address in names.value.get_values_for_type(x509.IPAddress)}
    assert {"127.0.0.1", "10.96.0.1", "192.0.2.8"} <= addresses


@pytest.mark.parametrize(
    ("component", "name", "groups"),
    [
        ("admin", "kubernetes-admin", ["system:masters"]),
        ("scheduler", "system:kube-scheduler", []),
        ("controller-manager", "system:kube-controller-manager", []),
        ("proxy", "system:kube-proxy", []),
        ("kubelet", "system:node:node-a", ["system:nodes"]),
    ],
)
def test_kubeconfigs_say_who_a_component_is(
    config: ClusterConfig, component: str, name: str, groups: list[str]
) -> None:
    made = pki.ensure(config, NOW)
    document = yaml.safe_load(config.kubeconfig(component).read_text())
    cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
    assert cluster["server"] == "https://127.0.0.1:6443"
    assert base64.b64decode(cluster["certificate-authority-data"]) == made.ca
    subject = x509.load_pem_x509_certificate(base64.b64decode(user["client-certificate-data"])).subject
    assert [part.value for part in subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)] == [name]
    assert [part.value for part in subject.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME)] == groups


def test_a_damaged_authority_is_not_replaced(config: ClusterConfig) -> None:
    pki.ensure(config, NOW)
    (config.pki_dir / "ca.key").write_bytes(b"junk")
    with pytest.raises(PkiError, match="damaged"):
        pki.ensure(config, NOW)
    (config.pki_dir / "ca.key").unlink()
    with pytest.raises(PkiError):
        pki.ensure(config, NOW)


def test_a_damaged_leaf_is_issued_again(config: ClusterConfig) -> None:
    good = pki.ensure(config, NOW)
    (config.pki_dir / "apiserver.crt").write_bytes(b"junk")
    assert pki.ensure(config, NOW).apiserver.certificate not in (b"junk", good.apiserver.certificate)


def test_half_a_token_key_is_refused(config: ClusterConfig) -> None:
    pki.ensure(config, NOW)
    (config.pki_dir / "sa.pub").unlink()
    with pytest.raises(PkiError, match="missing"):
        pki.ensure(config, NOW)
