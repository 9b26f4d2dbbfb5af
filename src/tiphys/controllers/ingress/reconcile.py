"""From Ingresses to what a proxy is to do: hosts, paths, certificates, and what is wrong with an Ingress. Pure.

A host belongs to all Ingresses that name it. Where two want the same path of a host the older has it; likewise its
certificate. What no rule matches goes to the default backend of an Ingress with that host, else of any Ingress.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from tiphys.api.types.core_v1 import Secret, Service, ServicePort
from tiphys.api.types.networking_v1 import HTTPIngressPath, Ingress, IngressBackend, IngressClass, IngressTLS

CONTROLLER: Final = "tiphys.io/ingress"
"""``spec.controller`` of the classes that are ours."""
NAMESPACE: Final = "tiphys-ingress"
"""Where the proxies are."""
SECRET: Final = "ingress-config"
"""Their configuration."""
SERVICE: Final = "ingress"
"""The Service of type LoadBalancer that publishes them; its addresses are every Ingress's."""
CLASS_ANNOTATION: Final = "kubernetes.io/ingress.class"
DEFAULT_ANNOTATION: Final = "ingressclass.kubernetes.io/is-default-class"
ANY_HOST: Final = ""
TLS_SECRET: Final = "kubernetes.io/tls"


class Problem(NamedTuple):
    """Something wrong with an Ingress, for an event."""

    namespace: str
    name: str
    reason: str
    message: str


class Route(NamedTuple):
    """``exact``: this path alone; else also everything below it. ``upstream`` "": there is nobody to answer.

    ``implied``: the path that a prefix names, which a rule for exactly this path goes before.
    """

    path: str
    exact: bool
    upstream: str
    implied: bool = False


@dataclass(slots=True)
class Site:
    """One host: ``*.example.com`` covers one label, ANY_HOST what no other has. ``certificate`` "": the default one."""

    host: str
    certificate: str = ""
    routes: dict[tuple[str, bool], Route] = field(default_factory=dict)
    fallback: str | None = None
    """The upstream of what no route matches; None: not found."""


@dataclass(slots=True)
class Plan:
    """``upstreams``: name to ``address:port``s; ``external``: name to ``host:port``, a name that DNS must be asked for;
    ``certificates``: name to PEM, certificate chain and key.
    """

    sites: dict[str, Site] = field(default_factory=dict)
    upstreams: dict[str, tuple[str, ...]] = field(default_factory=dict)
    external: dict[str, str] = field(default_factory=dict)
    certificates: dict[str, bytes] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    services: set[tuple[str, str]] = field(default_factory=set)
    """(namespace, name) of every Service that is referred to, there or not."""
    secrets: set[tuple[str, str]] = field(default_factory=set)


class Cluster(Protocol):
    """What a plan is made from."""

    def service(self, namespace: str, name: str) -> Service | None: ...

    def endpoints(self, namespace: str, name: str, port: ServicePort) -> tuple[str, ...]:
        """``address:port`` of each ready endpoint."""
        ...

    def secret(self, namespace: str, name: str) -> Secret | None: ...


Bundle = Callable[[Secret], tuple[str, bytes]]
"""The name and PEM of a Secret's certificate and key; raises ValueError with what is wrong."""


def class_names(classes: Iterable[IngressClass]) -> tuple[set[str], bool]:
    """The names of our classes, and whether one of them is the default."""
    ours = [c for c in classes if c.spec.controller == CONTROLLER]
    default = any(c.metadata.annotations.get(DEFAULT_ANNOTATION) == "true" for c in ours)
    return {c.metadata.name or "" for c in ours}, default


def is_ours(ingress: Ingress, names: set[str], default: bool) -> bool:
    """Whether an Ingress is for us: by its class, its old annotation, or because it has none."""
    wanted = ingress.spec.ingress_class_name or ingress.metadata.annotations.get(CLASS_ANNOTATION)
    return default if not wanted else wanted in names


def plan(ingresses: Iterable[Ingress], cluster: Cluster, bundle: Bundle) -> Plan:
    made = Plan()
    made.sites[ANY_HOST] = Site(ANY_HOST)
    ordered = sorted(
        ingresses,
        key=lambda i: (i.metadata.creation_timestamp or "", i.metadata.namespace or "", i.metadata.name or ""),
    )
    for ingress in ordered:
        _Planner(made, cluster, bundle, ingress).add()
    return made


def _age(ingress: Ingress) -> tuple[str, str, str]:
    meta = ingress.metadata
    return (meta.creation_timestamp or "", meta.namespace or "", meta.name or "")


class _Planner:
    """One Ingress being added to the plan."""

    def __init__(self, made: Plan, cluster: Cluster, bundle: Bundle, ingress: Ingress) -> None:
        self._made, self._cluster, self._bundle, self._ingress = made, cluster, bundle, ingress
        self._namespace = ingress.metadata.namespace or ""

    def add(self) -> None:
        spec = self._ingress.spec
        hosts = {rule.host or ANY_HOST for rule in spec.rules}
        for host in sorted(hosts | {h for tls in spec.tls for h in tls.hosts}):
            self._made.sites.setdefault(host, Site(host))
        for rule in spec.rules:
            for path in rule.http.paths if rule.http else ():
                self._add_path(self._made.sites[rule.host or ANY_HOST], path)
        if spec.default_backend is not None:
            upstream = self._upstream(spec.default_backend)
            for host in hosts | {ANY_HOST}:
                site = self._made.sites[host]
                if site.fallback is None:
                    site.fallback = upstream
        for tls in spec.tls:
            self._add_certificate(tls, hosts)

    def _problem(self, reason: str, message: str) -> None:
        self._made.problems.append(Problem(self._namespace, self._ingress.metadata.name or "", reason, message))

    def _add_path(self, site: Site, path: HTTPIngressPath) -> None:
        text = path.path or "/"
        upstream = self._upstream(path.backend)
        for route in _routes(text, path.path_type, upstream):
            key = (route.path, route.exact)
            known = site.routes.get(key)
            if known is None or (known.implied and not route.implied):
                site.routes[key] = route
            elif known.upstream != upstream and known.implied == route.implied:
                self._problem("Conflict", f"path {text} of host {site.host or '*'} belongs to an older rule")

    def _upstream(self, backend: IngressBackend) -> str:
        """The name of the upstream for a backend; "" when there is nobody to answer, which is told."""
        if backend.service is None:
            self._problem("UnsupportedBackend", "a backend must be a service: resources are not supported")
            return ""
        name, wanted = backend.service.name, backend.service.port
        self._made.services.add((self._namespace, name))
        service = self._cluster.service(self._namespace, name)
        if service is None:
            self._problem("ServiceNotFound", f"service {self._namespace}/{name} does not exist")
            return ""
        asked = (wanted.name or wanted.number) if wanted else None
        port = next((p for p in service.spec.ports if asked in (p.name, p.port)), None)
        if port is None and service.spec.type == "ExternalName" and wanted and wanted.number:
            port = ServicePort(port=wanted.number)
        if port is None:
            self._problem("ServicePortNotFound", f"service {self._namespace}/{name} has no port {asked}")
            return ""
        servers = _servers(service, port, self._cluster)
        if not servers:
            return ""
        upstream = f"{self._namespace}_{name}_{port.port}"
        if service.spec.type == "ExternalName":
            self._made.external[upstream] = servers[0]
        else:
            self._made.upstreams[upstream] = servers
        return upstream

    def _add_certificate(self, tls: IngressTLS, hosts: set[str]) -> None:
        if not tls.secret_name:
            return
        self._made.secrets.add((self._namespace, tls.secret_name))
        secret = self._cluster.secret(self._namespace, tls.secret_name)
        if secret is None:
            text = f"secret {self._namespace}/{tls.secret_name} of type {TLS_SECRET} does not exist"
            self._problem("SecretNotFound", text)
            return
        try:
            name, pem = self._bundle(secret)
        except ValueError as error:
            self._problem("InvalidCertificate", f"secret {self._namespace}/{tls.secret_name}: {error}")
            return
        self._made.certificates[name] = pem
        for host in self._covered(tls, hosts):
            site = self._made.sites[host]
            site.certificate = site.certificate or name

    @staticmethod
    def _covered(tls: IngressTLS, hosts: set[str]) -> Iterator[str]:
        if not tls.hosts:
            yield from sorted(hosts)
            return
        yield from tls.hosts
        for host in sorted(hosts - set(tls.hosts)):
            if f"*.{host.partition('.')[2]}" in tls.hosts:
                yield host


def _routes(path: str, path_type: str, upstream: str) -> Iterator[Route]:
    """Prefixes match whole elements: ``/foo`` matches ``/foo`` and ``/foo/bar``, not ``/foobar``."""
    if path_type == "Exact":
        yield Route(path, True, upstream)
        return
    bare = path.rstrip("/")
    if bare:
        yield Route(bare, True, upstream, implied=True)
    yield Route(f"{bare}/", False, upstream)


def _servers(service: Service, port: ServicePort, cluster: Cluster) -> tuple[str, ...]:
    """Where requests go. A ClusterIP, so that changes of endpoints cost nothing here; () when it has no endpoint."""
    if service.spec.type == "ExternalName":
        return (f"{service.spec.external_name}:{port.port}",) if service.spec.external_name else ()
    meta = service.metadata
    found = cluster.endpoints(meta.namespace or "", meta.name or "", port)
    if service.spec.cluster_ip in (None, "", "None"):
        return found
    return (f"{service.spec.cluster_ip}:{port.port}",) if found else ()
