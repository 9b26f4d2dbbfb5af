"""log, exec, attach and portforward: from a pod to the kubelet that runs it."""

from __future__ import annotations

from collections.abc import Awaitable

from tiphys.api import errors
from tiphys.api.types.core_v1 import Node, Pod
from tiphys.apiserver.admission.chain import Lookup
from tiphys.apiserver.registry.endpoint import Endpoint
from tiphys.apiserver.routing import RequestInfo
from tiphys.apiserver.streaming.kubelets import Kubelets
from tiphys.apiserver.streaming.locations import exec_target, logs_target, port_forward_target
from tiphys.apiserver.streaming.logs import proxy_stream
from tiphys.apiserver.streaming.upgrade import proxy_upgrade
from tiphys.base.http.client import HttpClient
from tiphys.base.http.messages import Request, Response


class PodStream:
    """One of the four. `kubelets` is None on a server that was given no identity to show to kubelets."""

    def __init__(self, what: str, pods: Endpoint, lookup: Lookup, kubelets: Kubelets | None) -> None:
        self._what = what
        self._pods = pods
        self._lookup = lookup
        self._kubelets = kubelets

    def serve(self, request: Request, info: RequestInfo) -> Response | Awaitable[Response]:
        """Connect the client with its pod's kubelet. Raises ApiError."""
        if info.verb != "get" and (info.verb != "create" or self._what == "log"):
            raise errors.method_not_allowed()
        pod: Pod = self._pods.updater.read(info).obj
        query, name = request.query, info.name
        if self._what == "portforward":
            return proxy_upgrade(request, self._kubelet(pod), port_forward_target(info.namespace, name, query))
        container = container_of(pod, query.get("container"))
        if self._what == "log":
            if not pod.spec.node_name:
                return Response(200, b"", "text/plain")
            return proxy_stream(request, self._kubelet(pod), logs_target(info.namespace, name, container, query))
        target = exec_target(self._what, info.namespace, name, container, query)
        return proxy_upgrade(request, self._kubelet(pod), target)

    def _kubelet(self, pod: Pod) -> HttpClient:
        node_name = pod.spec.node_name
        if not node_name:
            raise errors.bad_request(f"pod {pod.metadata.name} does not have a host assigned")
        node = self._lookup.get(Node, node_name)
        if node is None:
            raise errors.not_found("nodes", node_name)
        if self._kubelets is None:
            raise errors.internal("this server has no identity to show to kubelets")
        return self._kubelets.client(node)


def container_of(pod: Pod, wanted: str) -> str:
    """The container a request means: the one it names, or the only one. Raises ApiError 400."""
    spec, name = pod.spec, pod.metadata.name
    ephemeral = [c.name for c in spec.ephemeral_containers]
    known = [*(c.name for c in spec.init_containers), *(c.name for c in spec.containers), *ephemeral]
    if wanted:
        if wanted not in known:
            raise errors.bad_request(f"container {wanted} is not valid for pod {name}")
        return wanted
    if len(spec.containers) == 1:
        return spec.containers[0].name
    if not spec.containers:
        raise errors.bad_request(f"a container name must be specified for pod {name}")
    listed = " ".join(known)
    raise errors.bad_request(f"a container name must be specified for pod {name}, choose one of: [{listed}]")
