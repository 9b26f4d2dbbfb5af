"""The API's objects: NodeMetrics and PodMetrics, and their tables. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from tiphys.base.clock import rfc3339
from tiphys.metrics.readings import Use

GROUP: Final = "metrics.k8s.io"
VERSION: Final = "v1beta1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
VERBS: Final = ("get", "list")
Document = dict[str, Any]


def resource_list() -> Document:
    """``/apis/metrics.k8s.io/v1beta1``."""
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": API_VERSION,
        "resources": [
            {"name": "nodes", "singularName": "", "namespaced": False, "kind": "NodeMetrics", "verbs": list(VERBS)},
            {"name": "pods", "singularName": "", "namespaced": True, "kind": "PodMetrics", "verbs": list(VERBS)},
        ],
    }


def api_group() -> Document:
    """``/apis/metrics.k8s.io``."""
    version = {"groupVersion": API_VERSION, "version": VERSION}
    return {"kind": "APIGroup", "apiVersion": "v1", "name": GROUP, "versions": [version], "preferredVersion": version}


def node_metrics(name: str, labels: Mapping[str, str], use: Use) -> Document:
    return _object("NodeMetrics", {"name": name}, labels, use) | {"usage": _usage(use)}


def pod_metrics(namespace: str, name: str, labels: Mapping[str, str], containers: Mapping[str, Use]) -> Document:
    """`containers` by name, at least one."""
    oldest = min(containers.values(), key=lambda use: use.time)
    return _object("PodMetrics", {"name": name, "namespace": namespace}, labels, oldest) | {
        "containers": [{"name": container, "usage": _usage(use)} for container, use in sorted(containers.items())]
    }


def listed(kind: str, items: Iterable[Document]) -> Document:
    return {"kind": f"{kind}List", "apiVersion": API_VERSION, "metadata": {}, "items": list(items)}


def table(items: Iterable[Document]) -> Document:
    """The objects as kubectl prints them."""
    columns = [
        {"name": "Name", "type": "string", "format": "name", "description": "Name of the resource", "priority": 0},
        {"name": "cpu", "type": "string", "format": "", "description": "CPU usage", "priority": 0},
        {"name": "memory", "type": "string", "format": "", "description": "Memory usage", "priority": 0},
        {"name": "Window", "type": "string", "format": "duration", "description": "Measured over", "priority": 0},
    ]
    rows = []
    for item in items:
        usages = [item["usage"]] if "usage" in item else [container["usage"] for container in item["containers"]]
        nanos = sum(int(usage["cpu"].rstrip("n")) for usage in usages)
        kibibytes = sum(int(usage["memory"].removesuffix("Ki")) for usage in usages)
        cells = [item["metadata"]["name"], f"{nanos}n", f"{kibibytes}Ki", item["window"]]
        rows.append({"cells": cells, "object": _partial(item)})
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {},
        "columnDefinitions": columns,
        "rows": rows,
    }


def _partial(item: Document) -> Document:
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": item["metadata"]}


def _object(kind: str, metadata: Document, labels: Mapping[str, str], use: Use) -> Document:
    time = rfc3339(use.time)
    meta: Document = {**metadata, "creationTimestamp": time}
    if labels:
        meta["labels"] = dict(labels)
    window = f"{round(use.window_seconds, 3):g}s"
    return {"kind": kind, "apiVersion": API_VERSION, "metadata": meta, "timestamp": time, "window": window}


def _usage(use: Use) -> Document:
    """Quantities as upstream's server writes them: cores in billionths, memory in KiB."""
    return {"cpu": f"{use.cpu_nanos}n", "memory": f"{use.memory_bytes // 1024}Ki"}
