"""Ingresses to sites, sites to nginx's configuration, certificates looked at first."""

from __future__ import annotations

import base64
import datetime
from collections.abc import Iterable
from typing import Any

import pytest

from tiphys.api.codec import from_dict
from tiphys.api.types.core_v1 import Secret, Service, ServicePort
from tiphys.api.types.networking_v1 import Ingress, IngressClass
from tiphys.controllers.ingress import nginx
from tiphys.controllers.ingress.certificates import bundle, self_signed
from tiphys.controllers.ingress.reconcile import ANY_HOST, Plan, class_names, is_ours, plan

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def ingress(name: str = "a", *, created: str = "2026-01-01T00:00:00Z", **spec: Any) -> Ingress:
    meta = {"name": name, "namespace": "x", "creationTimestamp": created}
    return from_dict(Ingress, {"metadata": meta, "spec": spec})


def backend(service: str = "web", port: int | str = 80) -> dict[str, Any]:
    return {"service": {"name": service, "port": {"number" if isinstance(port, int) else "name": port}}}


def rule(host: str, *paths: tuple[str, str, str]) -> dict[str, Any]:
    wire = [{"path": path, "pathType": kind, "backend": backend(service)} for path, kind, service in paths]
    return {"host": host, "http": {"paths": wire}} if host else {"http": {"paths": wire}}


def secret(pem: bytes, key: bytes | None = None) -> Secret:
    data = {"tls.crt": base64.b64encode(pem).decode(), "tls.key": base64.b64encode(key or pem).decode()}
    return from_dict(Secret, {"metadata": {"name": "tls", "namespace": "x"}, "data": data})


class World:
    """Services ``web`` and ``api`` with endpoints, ``empty`` without, ``headless``, ``far`` outside; Secret ``tls``."""

    def __init__(self) -> None:
        self.secrets = {"tls": secret(self_signed(NOW))}

    def service(self, namespace: str, name: str) -> Service | None:
        spec: dict[str, Any] = {"clusterIP": f"10.96.0.{len(name)}", "ports": [{"port": 80, "name": "http"}]}
        if name == "headless":
            spec["clusterIP"] = "None"
        elif name == "far":
            spec = {"type": "ExternalName", "externalName": "example.org"}
        elif name not in ("web", "api", "empty"):
            return None
        return from_dict(Service, {"metadata": {"name": name, "namespace": namespace}, "spec": spec})

    def endpoints(self, namespace: str, name: str, port: ServicePort) -> tuple[str, ...]:
        return () if name == "empty" else ("10.244.0.2:8080", "10.244.0.3:8080")

    def secret(self, namespace: str, name: str) -> Secret | None:
        return self.secrets.get(name)


def made(*ingresses: Ingress, world: World | None = None) -> Plan:
    return plan(ingresses, world or World(), bundle)


def matched(found: Plan, host: str, path: str) -> str | None:
    """Which upstream nginx would choose: an exact location, else the longest prefix."""
    site = found.sites.get(host, found.sites[ANY_HOST])
    exact = site.routes.get((path, True))
    if exact:
        return exact.upstream
    prefixes = [r for r in site.routes.values() if not r.exact and path.startswith(r.path)]
    return max(prefixes, key=lambda r: len(r.path)).upstream if prefixes else site.fallback


@pytest.mark.parametrize(
    ("kind", "path", "asked", "hit"),
    [  # the table of the Ingress documentation
        ("Prefix", "/", "/anything", True),
        ("Exact", "/foo", "/foo", True),
        ("Exact", "/foo", "/bar", False),
        ("Exact", "/foo", "/foo/", False),
        ("Exact", "/foo/", "/foo", False),
        ("Prefix", "/foo", "/foo", True),
        ("Prefix", "/foo", "/foo/", True),
        ("Prefix", "/foo/", "/foo", True),
        ("Prefix", "/foo/", "/foo/", True),
        ("Prefix", "/aaa/bb", "/aaa/bbb", False),
        ("Prefix", "/aaa/bbb", "/aaa/bbb", True),
        ("Prefix", "/aaa/bbb/", "/aaa/bbb", True),
        ("Prefix", "/aaa/bbb", "/aaa/bbb/", True),
        ("Prefix", "/aaa/bbb", "/aaa/bbb/ccc", True),
        ("Prefix", "/aaa/bbb", "/aaa/bbbxyz", False),
        ("ImplementationSpecific", "/a", "/a/b", True),
    ],
)
def test_paths(kind: str, path: str, asked: str, hit: bool) -> None:
    found = made(ingress(rules=[rule("h", (path, kind, "web"))]))
    assert matched(found, "h", asked) == ("x_web_80" if hit else None)


def test_the_longest_path_and_then_the_exact_one_wins() -> None:
    found = made(
        ingress(rules=[rule("h", ("/", "Prefix", "web"), ("/a", "Prefix", "api"), ("/a", "Exact", "headless"))])
    )
    assert matched(found, "h", "/a") == "x_headless_80"
    assert matched(found, "h", "/a/b") == "x_api_80"
    assert matched(found, "h", "/b") == "x_web_80"
    assert not found.problems


def test_the_older_ingress_has_a_path_that_two_want() -> None:
    old = ingress("z", rules=[rule("h", ("/a", "Exact", "web"))])
    young = ingress(
        "a", created="2026-02-01T00:00:00Z", rules=[rule("h", ("/a", "Exact", "api"), ("/b", "Exact", "api"))]
    )
    found = made(young, old)
    assert matched(found, "h", "/a") == "x_web_80"
    assert matched(found, "h", "/b") == "x_api_80"
    assert [(p.name, p.reason) for p in found.problems] == [("a", "Conflict")]


def test_default_backends() -> None:
    found = made(ingress(defaultBackend=backend("api"), rules=[rule("h", ("/a", "Exact", "web"))]))
    assert matched(found, "h", "/other") == "x_api_80"
    assert matched(found, "elsewhere", "/") == "x_api_80"
    assert matched(made(ingress(rules=[rule("h", ("/a", "Exact", "web"))])), "h", "/b") is None


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (backend("nothing"), "ServiceNotFound"),
        (backend("web", 81), "ServicePortNotFound"),
        (backend("web", "nope"), "ServicePortNotFound"),
        ({"resource": {"kind": "Bucket", "name": "b"}}, "UnsupportedBackend"),
    ],
)
def test_what_is_wrong_with_a_backend_is_told(wanted: dict[str, Any], reason: str) -> None:
    found = made(ingress(rules=[{"host": "h", "http": {"paths": [{"pathType": "Prefix", "backend": wanted}]}}]))
    assert [p.reason for p in found.problems] == [reason]
    assert matched(found, "h", "/") == ""
    assert "return 503" in conf(found)


def test_where_requests_go() -> None:
    names = ("web", "headless", "empty", "far")
    found = made(ingress(rules=[rule("h", *((f"/{name}", "Exact", name) for name in names))]))
    assert found.upstreams == {
        "x_web_80": ("10.96.0.3:80",),
        "x_headless_80": ("10.244.0.2:8080", "10.244.0.3:8080"),
    }
    assert found.external == {"x_far_80": "example.org:80"}
    assert matched(found, "h", "/empty") == ""


def test_certificates_by_host() -> None:
    tls = [{"hosts": ["a.example.com", "*.w.example.com"], "secretName": "tls"}]
    rules = [rule(host, ("/", "Prefix", "web")) for host in ("a.example.com", "b.w.example.com", "c.example.com")]
    found = made(ingress(tls=tls, rules=rules))
    [name] = found.certificates
    assert {host for host, site in found.sites.items() if site.certificate == name} == {
        "a.example.com", "*.w.example.com", "b.w.example.com",
    }  # fmt: skip
    assert name in nginx.files(found, b"", "10.96.0.10")


def test_bad_certificates_never_reach_the_configuration() -> None:
    one, other = self_signed(NOW), self_signed(NOW)
    cases = {"no certificate": secret(b"x", one), "no key": secret(one, b"x"), "another's key": secret(one, other)}
    for name, bad in cases.items():
        world = World()
        world.secrets["tls"] = bad
        found = made(ingress(tls=[{"secretName": "tls"}], rules=[rule("h", ("/", "Prefix", "web"))]), world=world)
        assert [p.reason for p in found.problems] == ["InvalidCertificate"], name
        assert set(nginx.files(found, b"", "")) == {"nginx.conf", "run.sh", "default.pem"}
    found = made(ingress(tls=[{"secretName": "gone"}], rules=[rule("h", ("/", "Prefix", "web"))]))
    assert [p.reason for p in found.problems] == ["SecretNotFound"]


def conf(found: Plan) -> str:
    return nginx.files(found, b"", "10.96.0.10")["nginx.conf"].decode()


def test_words_of_users_cannot_leave_their_quotes() -> None:
    text = conf(made(ingress(rules=[rule("h", ('/a"; } evil { \\', "Exact", "web"))])))
    assert 'location = "/a\\"; } evil { \\\\"' in text
    assert text.count("{") - text.count("evil {") == text.count("}") - text.count("} evil")


def test_one_label_for_a_wildcard() -> None:
    assert r'server_name "~^[^.]+\\.w\\.example\\.com$"' in conf(
        made(ingress(rules=[rule("*.w.example.com", ("/", "Prefix", "web"))]))
    )


def classes(*found: tuple[str, str, bool]) -> Iterable[IngressClass]:
    for name, controller, default in found:
        notes = {"ingressclass.kubernetes.io/is-default-class": "true"} if default else {}
        wire = {"metadata": {"name": name, "annotations": notes}, "spec": {"controller": controller}}
        yield from_dict(IngressClass, wire)


def test_whose_ingress_it_is() -> None:
    names, default = class_names(classes(("tiphys", "tiphys.io/ingress", True), ("other", "example.com/x", False)))
    assert (names, default) == ({"tiphys"}, True)
    assert is_ours(ingress(ingressClassName="tiphys"), names, default)
    assert not is_ours(ingress(ingressClassName="other"), names, default)
    assert is_ours(ingress(), names, default)
    assert not is_ours(ingress(), names, False)
    annotated = ingress()
    annotated.metadata.annotations["kubernetes.io/ingress.class"] = "other"
    assert not is_ours(annotated, names, default)
