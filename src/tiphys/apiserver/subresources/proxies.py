"""proxy: HTTP through the apiserver to a pod, a Service's endpoint or a kubelet."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Awaitable
from typing import NamedTuple
from urllib.parse import quote

from tiphys.api import errors
from tiphys.api.types.core_v1 import Container, Node, Pod, Service, ServicePort
from tiphys.api.types.discovery_v1 import Endpoint, EndpointSlice
from tiphys.apiserver.admission.chain import Lookup
from tiphys.apiserver.routing import RequestInfo
from tiphys.apiserver.streaming.reverse_proxy import reverse_proxy
from tiphys.base.chance import CHANCE
from tiphys.base.http.messages import Request, Response
from tiphys.base.http.tls import client_context

_SERVICE_LABEL = "kubernetes.io/service-name"


class Target(NamedTuple):
    """``[scheme:]name[:port]``, taken apart."""

    scheme: str
    name: str
    port: str


class Proxy:
    """The proxy subresource of pods, services or nodes. `kubelet_tls` is who we are to kubelets."""

    def __init__(self, plural: str, lookup: Lookup, kubelet_tls: ssl.SSLContext | None) -> None:
        self._plural = plural
        self._lookup = lookup
        self._kubelet_tls = kubelet_tls
        self._backend_tls: ssl.SSLContext | None = None

    def serve(self, request: Request, info: RequestInfo) -> Response | Awaitable[Response]:
        """Forward the request. Raises ApiError 400, 404 or 503 when there is nowhere to send it."""
        prefix = self._prefix(request, info)
        if not info.rest and not request.path.endswith("/") and request.method in ("GET", "HEAD"):
            query = f"?{request.query.raw.decode('latin-1')}" if request.query.raw else ""
            return Response(301, b"", "", ((b"Location", f"{request.path}/{query}".encode()),))
        target = parse_target(info.name)
        if self._plural == "pods":
            base_url, tls = self._pod(target, info)
        elif self._plural == "services":
            base_url, tls = self._service(target, info)
        else:
            base_url, tls = self._node(target)
        path = "/" + quote(info.rest, safe="/~!$&'()*+,;=:@%")
        if request.query.raw:
            path += "?" + request.query.raw.decode("latin-1")
        return reverse_proxy(request, base_url, path, prefix, tls)

    def _prefix(self, request: Request, info: RequestInfo) -> str:
        path = request.path
        return path[: len(path) - len(info.rest)].rstrip("/") if info.rest else path.rstrip("/")

    def _pod(self, target: Target, info: RequestInfo) -> tuple[str, ssl.SSLContext | None]:
        pod = self._lookup.get(Pod, target.name, info.namespace)
        if pod is None:
            raise errors.not_found("pods", target.name)
        address = _outside(pod.status.pod_ip)
        port = target.port or _first_port(pod.spec.containers)
        return self._url(target.scheme, address, _named_port(pod.spec.containers, port))

    def _service(self, target: Target, info: RequestInfo) -> tuple[str, ssl.SSLContext | None]:
        service = self._lookup.get(Service, target.name, info.namespace)
        if service is None:
            raise errors.not_found("services", target.name)
        port = _service_port(service, target.port)
        backends: list[tuple[str, int]] = []
        for slice_ in self._lookup.list(EndpointSlice, info.namespace):
            if slice_.metadata.labels.get(_SERVICE_LABEL) != target.name:
                continue
            number = next((p.port for p in slice_.ports if (p.name or "") == (port.name or "") and p.port), None)
            if number is not None:
                ready = (e for e in slice_.endpoints if e.conditions is None or e.conditions.ready is not False)
                backends += [(e.addresses[0], number) for e in ready if self._is_pods(e, info.namespace)]
        if not backends:
            text = f'no endpoints available for service "{target.name}"'
            raise errors.service_unavailable(text)
        host, number = CHANCE.choice(backends)
        return self._url(target.scheme, _outside(host), number)

    def _is_pods(self, endpoint: Endpoint, namespace: str) -> bool:
        """Whether the address is that of the pod it names: who writes slices must not choose where we connect to."""
        reference = endpoint.target_ref
        if not endpoint.addresses or reference is None or reference.kind != "Pod":
            return False
        pod = self._lookup.get(Pod, reference.name or "", namespace)
        return pod is not None and endpoint.addresses[0] in {pod.status.pod_ip, *(ip.ip for ip in pod.status.pod_ips)}

    def _node(self, target: Target) -> tuple[str, ssl.SSLContext | None]:
        node = self._lookup.get(Node, target.name)
        if node is None:
            raise errors.not_found("nodes", target.name)
        address = next((a.address for a in node.status.addresses if a.type == "InternalIP"), "")
        if not address:
            raise errors.bad_request("address not allowed")
        endpoints = node.status.daemon_endpoints
        kubelet = endpoints.kubelet_endpoint.port if endpoints and endpoints.kubelet_endpoint else 0
        port = int(target.port) if target.port.isdigit() else kubelet or 10250
        if target.scheme == "http" or port != (kubelet or 10250):
            return self._url(target.scheme, address, port)
        return f"https://{_host(address)}:{port}", self._kubelet_tls

    def _url(self, scheme: str, host: str, port: int) -> tuple[str, ssl.SSLContext | None]:
        if scheme == "https":
            self._backend_tls = self._backend_tls or client_context(verify=False)
            return f"https://{_host(host)}:{port}", self._backend_tls
        return f"http://{_host(host)}:{port}", None


def parse_target(text: str) -> Target:
    """``name``, ``name:port`` or ``scheme:name:port``. Raises ApiError 400."""
    parts = text.split(":")
    if len(parts) == 1:
        return Target("", parts[0], "")
    if len(parts) == 2:
        return Target("", parts[0], parts[1])
    if len(parts) == 3 and parts[0] in ("http", "https", ""):
        return Target(parts[0], parts[1], parts[2])
    raise errors.bad_request(f'invalid service request "{text}"')


def _outside(address: str | None) -> str:
    """The address; raises ApiError 400 for one of the apiserver's own machine or link, as upstream."""
    try:
        ip = ipaddress.ip_address(address or "")
    except ValueError:
        raise errors.bad_request("address not allowed") from None
    if ip.is_loopback or ip.is_link_local or ip.is_multicast or ip.is_unspecified:
        raise errors.bad_request("address not allowed")
    return str(ip)


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _first_port(containers: tuple[Container, ...]) -> str:
    return next((str(p.container_port) for c in containers for p in c.ports), "80")


def _named_port(containers: tuple[Container, ...], port: str) -> int:
    if port.isdigit():
        return int(port)
    for container in containers:
        for declared in container.ports:
            if declared.name == port:
                return declared.container_port
    raise errors.bad_request(f'no port named "{port}"')


def _service_port(service: Service, wanted: str) -> ServicePort:
    ports = service.spec.ports
    if not wanted and len(ports) == 1:
        return ports[0]
    for port in ports:
        if wanted and (port.name == wanted or str(port.port) == wanted):
            return port
    raise errors.service_unavailable(f'no service port "{wanted}" found for service "{service.metadata.name}"')
