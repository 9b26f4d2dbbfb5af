"""Requests to the metrics API, answered from what kubelets measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tiphys.api import codec, errors
from tiphys.api.errors import ApiError
from tiphys.api.scheme import by_kind
from tiphys.api.types.authorization_v1 import NonResourceAttributes, ResourceAttributes
from tiphys.api.types.core_v1 import Node, Pod
from tiphys.base.http.messages import Request, Response
from tiphys.base.logging import get_logger
from tiphys.client.client import Client
from tiphys.client.view import metadata_only
from tiphys.metrics import objects
from tiphys.metrics.delegation import Delegated
from tiphys.metrics.kubelets import Kubelets
from tiphys.metrics.objects import Document
from tiphys.metrics.readings import Use

_logger = get_logger(__name__)
_NODES: Final = metadata_only(by_kind(Node))
_PODS: Final = metadata_only(by_kind(Pod))
_HEALTH: Final = frozenset({"/healthz", "/livez", "/readyz"})
_DOCUMENTS: Final[dict[str, Callable[[], Document]]] = {
    "/apis": lambda: {"kind": "APIGroupList", "apiVersion": "v1", "groups": [objects.api_group()]},
    f"/apis/{objects.GROUP}": objects.api_group,
    f"/apis/{objects.API_VERSION}": objects.resource_list,
}


class MetricsApi:
    """The handler of the metrics server: health, discovery, and ``nodes`` and ``pods`` of metrics.k8s.io/v1beta1."""

    def __init__(self, client: Client, kubelets: Kubelets, delegated: Delegated) -> None:
        self._client = client
        self._kubelets = kubelets
        self._delegated = delegated

    async def handle(self, request: Request) -> Response:
        """Answer one request; never raises."""
        try:
            return await self._answer(request)
        except ApiError as error:
            return Response(error.code, codec.encode(error.status))
        except (OSError, TimeoutError) as error:
            refusal = errors.service_unavailable(f"the apiserver does not answer: {error or type(error).__name__}")
            return Response(refusal.code, codec.encode(refusal.status))
        except Exception as error:
            _logger.exception("request failed", path=request.path)
            failure = errors.internal(str(error) or type(error).__name__)
            return Response(failure.code, codec.encode(failure.status))

    async def _answer(self, request: Request) -> Response:
        path = request.path.rstrip("/")
        if path in _HEALTH:
            return Response(200, b"ok", "text/plain; charset=utf-8")
        user = await self._delegated.user(request)
        verb = request.method.lower()
        document = _DOCUMENTS.get(path)
        if document is not None:
            await self._delegated.check(user, NonResourceAttributes(path=request.path, verb=verb))
            return Response(200, codec.encode_any(document()))
        resource, namespace, name = _asked(path)
        if request.method not in ("GET", "HEAD"):
            raise errors.method_not_allowed()
        attributes = ResourceAttributes(
            verb="get" if name else "list",
            group=objects.GROUP,
            version=objects.VERSION,
            resource=resource,
            namespace=namespace or None,
            name=name or None,
        )
        await self._delegated.check(user, attributes)
        if "watch" in request.query and not name and request.query.get("watch") in ("1", "true"):
            raise errors.method_not_supported(f"{resource}.{objects.GROUP}", "watch")
        label_selector = "" if name else request.query.get("labelSelector")
        field_selector = f"metadata.name={name}" if name else request.query.get("fieldSelector")
        if resource == "nodes":
            items = await self._nodes(label_selector, field_selector)
        else:
            items = await self._pods(namespace, label_selector, field_selector)
        return _rendered(request, resource, name, items)

    async def _nodes(self, label_selector: str, field_selector: str) -> list[Document]:
        nodes = await self._client.list(_NODES, label_selector=label_selector, field_selector=field_selector)
        usage = await self._kubelets.usage()
        return [
            objects.node_metrics(name, node.metadata.labels, usage.nodes[name])
            for node in nodes.items
            if (name := node.metadata.name or "") in usage.nodes
        ]

    async def _pods(self, namespace: str, label_selector: str, field_selector: str) -> list[Document]:
        pods = await self._client.list(_PODS, namespace, label_selector=label_selector, field_selector=field_selector)
        wanted = {(pod.metadata.namespace or "", pod.metadata.name or "") for pod in pods.items}
        usage = await self._kubelets.usage(lambda known: wanted <= {key[:2] for key in known.containers})
        by_pod: dict[tuple[str, str], dict[str, Use]] = {}
        for (of_namespace, pod, container), use in usage.containers.items():
            by_pod.setdefault((of_namespace, pod), {})[container] = use
        return [
            objects.pod_metrics(key[0], key[1], pod.metadata.labels, by_pod[key])
            for pod in pods.items
            if (key := (pod.metadata.namespace or "", pod.metadata.name or "")) in by_pod
        ]


def _asked(path: str) -> tuple[str, str, str]:
    """(resource, namespace, name) of a path below the group's version. Raises ApiError 404."""
    prefix = f"/apis/{objects.API_VERSION}/"
    parts = path[len(prefix) :].split("/") if path.startswith(prefix) else []
    if len(parts) >= 3 and parts[0] == "namespaces" and parts[2] == "pods" and len(parts) <= 4:
        return "pods", parts[1], parts[3] if len(parts) == 4 else ""
    if parts == ["pods"]:
        return "pods", "", ""
    if parts and parts[0] == "nodes" and len(parts) <= 2:
        return "nodes", "", parts[1] if len(parts) == 2 else ""
    raise errors.route_not_found()


def _rendered(request: Request, resource: str, name: str, items: list[Document]) -> Response:
    wants_table = b"as=Table" in request.headers.get(b"accept")
    if name and not items:
        raise errors.not_found(f"{resource}.{objects.GROUP}", name)
    answer: Any
    if wants_table:
        answer = objects.table(items)
    elif name:
        answer = items[0]
    else:
        answer = objects.listed("NodeMetrics" if resource == "nodes" else "PodMetrics", items)
    return Response(200, codec.encode_any(answer))
