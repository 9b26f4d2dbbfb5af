"""Credentials of the front proxy and the metrics server, and the objects that lead to it."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from tiphys.api.scheme import by_kind
from tiphys.api.types.apiregistration_v1 import APIService
from tiphys.api.types.core_v1 import Service
from tiphys.api.validation import validate_create
from tiphys.cmd import aggregation_pki
from tiphys.cmd.config import ClusterConfig
from tiphys.cmd.metrics_server import objects


def test_the_front_proxy_has_an_authority_of_its_own(tmp_path: Path) -> None:
    config = ClusterConfig(data_dir=str(tmp_path), node_name="n", node_ip="192.0.2.1")
    now = datetime.now(UTC)
    made = aggregation_pki.ensure(config, now)
    proxy = x509.load_pem_x509_certificate(made.front_proxy.certificate)
    proxy.verify_directly_issued_by(x509.load_pem_x509_certificate(made.front_proxy_ca))
    assert made.front_proxy_ca != made.ca, "whom the cluster's authority names may not speak for others"
    assert aggregation_pki.ensure(config, now) == made, "what is good stays"
    serving = x509.load_pem_x509_certificate(made.metrics_server.certificate)
    serving.verify_directly_issued_by(x509.load_pem_x509_certificate(made.ca))
    names = serving.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "metrics-server.kube-system.svc" in names.get_values_for_type(x509.DNSName)
    assert all(path.stat().st_mode & 0o077 == 0 for path in config.pki_dir.glob("front-proxy-*"))


def test_the_objects_lead_to_the_server_and_trust_it(tmp_path: Path) -> None:
    config = ClusterConfig(data_dir=str(tmp_path), node_name="n", node_ip="192.0.2.1")
    made = list(objects(config))
    (service,) = (obj for obj in made if isinstance(obj, Service))
    (api_service,) = (obj for obj in made if isinstance(obj, APIService))
    reference = api_service.spec.service
    assert reference is not None and (reference.name, reference.namespace) == ("metrics-server", "kube-system")
    assert service.metadata.name == reference.name and service.spec.ports[0].port == 443
    ca = aggregation_pki.ensure(config, datetime.now(UTC)).ca
    assert base64.b64decode(api_service.spec.ca_bundle or "") == ca
    api_service.spec.service.port = 443  # as defaulting does
    assert not validate_create(api_service)
    assert all(by_kind(type(obj)) for obj in made)
