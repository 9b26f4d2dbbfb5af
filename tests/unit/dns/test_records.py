"""Names and their answers; each test says which sentence of the DNS schema (version 1.1.0) it checks."""

from __future__ import annotations

import pytest

from tests.unit.dns.services import endpoint, service, slice_of
from tiphys.dns.records import Answer, Zone

KEY = ("shop", "web")


def zone_of(one: object, *slices: object, key: tuple[str, str] = KEY) -> Zone:
    zone = Zone("cluster.local")
    zone.update(key, one, slices)  # type: ignore[arg-type]
    return zone


def data(answer: Answer) -> list[object]:
    return [record.data for record in answer.records]


def test_a_service_with_a_cluster_ip_is_an_a_record() -> None:
    zone = zone_of(service())
    assert data(zone.resolve("web.shop.svc.cluster.local", "A")) == ["10.96.0.7"]
    assert zone.resolve("web.shop.svc.cluster.local", "AAAA") == Answer(True)


def test_each_named_port_is_an_srv_record_of_the_service() -> None:
    answer = zone_of(service()).resolve("_http._tcp.web.shop.svc.cluster.local", "SRV")
    [(priority, weight, port, target)] = data(answer)  # type: ignore[misc]
    assert (priority, port, target) == (0, 80, "web.shop.svc.cluster.local")
    assert weight > 0
    assert [(r.name, r.data) for r in answer.additional] == [("web.shop.svc.cluster.local", "10.96.0.7")]


@pytest.mark.parametrize("name", ["_ftp._tcp.web", "_http._udp.web", "absent", "x.y.web"])
def test_what_is_not_there_does_not_exist(name: str) -> None:
    zone = zone_of(service())
    for kind in ("A", "SRV"):
        assert not zone.resolve(f"{name}.shop.svc.cluster.local", kind).exists


def test_the_reverse_of_a_cluster_ip_is_its_service() -> None:
    zone = zone_of(service())
    assert zone.owns("7.0.96.10.in-addr.arpa")
    assert data(zone.resolve("7.0.96.10.in-addr.arpa", "PTR")) == ["web.shop.svc.cluster.local"]
    assert not zone.owns("8.0.96.10.in-addr.arpa")


def test_a_headless_service_is_its_ready_endpoints() -> None:
    ready, unready = endpoint("10.244.0.2"), endpoint("10.244.0.3", ready=False)
    zone = zone_of(service(ip="None"), slice_of(ready, unready))
    assert data(zone.resolve("web.shop.svc.cluster.local", "A")) == ["10.244.0.2"]
    everyone = zone_of(service(ip="None", publishNotReadyAddresses=True), slice_of(ready, unready))
    assert data(everyone.resolve("web.shop.svc.cluster.local", "A")) == ["10.244.0.2", "10.244.0.3"]


def test_an_endpoint_with_a_hostname_has_a_name_of_its_own() -> None:
    zone = zone_of(service(ip="None"), slice_of(endpoint("10.244.0.2", "web-0"), endpoint("10.244.0.3")))
    assert data(zone.resolve("web-0.web.shop.svc.cluster.local", "A")) == ["10.244.0.2"]
    assert data(zone.resolve("10-244-0-3.web.shop.svc.cluster.local", "A")) == ["10.244.0.3"]
    assert data(zone.resolve("2.0.244.10.in-addr.arpa", "PTR")) == ["web-0.web.shop.svc.cluster.local"]
    targets = [d[3] for d in data(zone.resolve("_http._tcp.web.shop.svc.cluster.local", "SRV"))]  # type: ignore[index]
    assert targets == ["web-0.web.shop.svc.cluster.local", "10-244-0-3.web.shop.svc.cluster.local"]


def test_an_external_name_is_an_alias() -> None:
    zone = zone_of(service(ip="", type="ExternalName", externalName="Example.com."))
    [record] = zone.resolve("web.shop.svc.cluster.local", "A").records
    assert (record.type, record.data) == ("CNAME", "example.com")


def test_an_alias_within_the_cluster_is_followed_and_a_circle_is_not() -> None:
    zone = zone_of(service(ip="", type="ExternalName", externalName="db.shop.svc.cluster.local"))
    zone.update(("shop", "db"), service("db", "10.96.0.9"), [])
    assert data(zone.resolve("web.shop.svc.cluster.local", "A")) == ["db.shop.svc.cluster.local", "10.96.0.9"]
    zone.update(("shop", "db"), service("db", "", type="ExternalName", externalName="web.shop.svc.cluster.local"), [])
    assert zone.resolve("web.shop.svc.cluster.local", "A").exists


@pytest.mark.parametrize(
    ("name", "exists"),
    [("1-2-3-4.shop.pod", True), ("shop.pod", True), ("1-2-3.shop.pod", False), ("x.1-2-3-4.shop.pod", False)],
)
def test_pods_by_dashed_address(name: str, exists: bool) -> None:
    answer = Zone("cluster.local").resolve(f"{name}.cluster.local", "A")
    assert answer.exists is exists
    assert data(answer) == (["1.2.3.4"] if name.startswith("1-2-3-4") and exists else [])


def test_a_namespace_with_services_exists_and_others_do_not() -> None:
    zone = zone_of(service())
    assert zone.resolve("shop.svc.cluster.local", "A") == Answer(True)
    assert not zone.resolve("empty.svc.cluster.local", "A").exists


def test_the_schema_has_a_version() -> None:
    assert data(Zone("cluster.local").resolve("dns-version.cluster.local", "TXT")) == ["1.1.0"]


def test_what_is_forgotten_leaves_no_name_behind() -> None:
    zone = zone_of(service(ip="None"), slice_of(endpoint("10.244.0.2", "web-0")))
    zone.update(KEY, None, [])
    assert not zone.resolve("web.shop.svc.cluster.local", "A").exists
    assert not zone.resolve("shop.svc.cluster.local", "A").exists
    assert not zone.owns("2.0.244.10.in-addr.arpa")


@pytest.mark.parametrize(("name", "ours"), [("cluster.local", True), ("mycluster.local", False), ("a.b", False)])
def test_whose_name_it_is(name: str, ours: bool) -> None:
    assert Zone("Cluster.Local.").owns(name) is ours
