"""The Ingress add-on: nginx on every node, published by a Service of type LoadBalancer, and the class that uses it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from tiphys.api.codec import from_dict
from tiphys.api.types.apps_v1 import DaemonSet
from tiphys.api.types.core_v1 import Namespace, Service
from tiphys.api.types.networking_v1 import IngressClass
from tiphys.cmd.image_build_recipes import INGRESS_IMAGE
from tiphys.controllers.ingress.nginx import DIRECTORY, HEALTH_PORT
from tiphys.controllers.ingress.reconcile import CONTROLLER, DEFAULT_ANNOTATION, NAMESPACE, SECRET, SERVICE

_LABELS: Final = {"app.kubernetes.io/name": "ingress", "app.kubernetes.io/part-of": "tiphys"}
_DRAIN: Final = "sleep 5; nginx -c {directory}/nginx.conf -s quit; while kill -0 1 2>/dev/null; do sleep 0.2; done"


def objects() -> Iterator[Any]:
    """What the add-on is made of; the controller that writes its configuration runs with all others."""
    yield from_dict(Namespace, {"metadata": {"name": NAMESPACE, "labels": _LABELS}})
    yield from_dict(
        IngressClass,
        {
            "metadata": {"name": "tiphys", "annotations": {DEFAULT_ANNOTATION: "true"}},
            "spec": {"controller": CONTROLLER},
        },
    )
    yield from_dict(DaemonSet, {"metadata": _meta("ingress"), "spec": _daemon_set_spec()})
    ports = [{"name": "http", "port": 80, "targetPort": "http"}, {"name": "https", "port": 443, "targetPort": "https"}]
    yield from_dict(
        Service,
        {
            "metadata": _meta(SERVICE),
            # Local: nginx sees who asks, and passes it on.
            "spec": {
                "type": "LoadBalancer", "selector": _LABELS, "ports": ports, "externalTrafficPolicy": "Local",
            },
        },
    )  # fmt: skip


def _meta(name: str) -> dict[str, Any]:
    return {"name": name, "namespace": NAMESPACE, "labels": _LABELS}


def _daemon_set_spec() -> dict[str, Any]:
    return {
        "selector": {"matchLabels": _LABELS},
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
        "template": {"metadata": {"labels": _LABELS}, "spec": _pod_spec()},
    }


def _pod_spec() -> dict[str, Any]:
    health = {"path": "/healthz", "port": HEALTH_PORT}
    return {
        "automountServiceAccountToken": False,
        "priorityClassName": "system-cluster-critical",
        "terminationGracePeriodSeconds": 60,
        "tolerations": [{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}],
        "volumes": [{"name": "configuration", "secret": {"secretName": SECRET}}],
        "containers": [
            {
                "name": "nginx",
                "image": INGRESS_IMAGE,
                "imagePullPolicy": "IfNotPresent",
                "command": ["sh", f"{DIRECTORY}/run.sh"],
                "ports": [{"name": "http", "containerPort": 80}, {"name": "https", "containerPort": 443}],
                "resources": {"requests": {"cpu": "50m", "memory": "32Mi"}},
                "volumeMounts": [{"name": "configuration", "mountPath": DIRECTORY, "readOnly": True}],
                "readinessProbe": {"httpGet": health, "periodSeconds": 2, "failureThreshold": 2},
                "livenessProbe": {"httpGet": health, "periodSeconds": 10, "initialDelaySeconds": 10},
                # Balancers send new connections for a moment after an endpoint is gone.
                "lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", _DRAIN.format(directory=DIRECTORY)]}}},
            }
        ],
    }
