"""Manifests that tests share, as plain data."""

from __future__ import annotations

from typing import Any

BUSYBOX = "busybox:1.36"


def pod(name: str, command: list[str], **spec: Any) -> dict[str, Any]:
    """A busybox pod that ends at once when asked to."""
    container = {"name": "main", "image": BUSYBOX, "imagePullPolicy": "IfNotPresent", "command": command}
    container |= spec.pop("container", {})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name} | spec.pop("labels", {})},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 1} | spec,
    }


def deployment(
    name: str, replicas: int = 1, *, labels: dict[str, str] | None = None, **container: Any
) -> dict[str, Any]:
    """A Deployment of busybox httpd pods that serve their own name on port 8080."""
    labels = {"app": name} | (labels or {})
    serve = "mkdir -p /tmp/www && hostname > /tmp/www/index.html && exec httpd -f -p 8080 -h /tmp/www"
    main = {
        "name": "main",
        "image": BUSYBOX,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", serve],
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1},
    } | container
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [main], "terminationGracePeriodSeconds": 1},
            },
        },
    }


def service(name: str, **spec: Any) -> dict[str, Any]:
    """A Service of port 80 to the pods labelled ``app=<name>``."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]} | spec,
    }
