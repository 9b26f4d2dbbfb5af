"""`tiphys manifests`: a cluster's components as pods that run from the image of Tiphys.

    control-plane   static pods for a kubelet's manifest folder: apiserver, scheduler, controllers, metrics server
    node            DaemonSets for every node: Service proxy and DNS, with service accounts of their own

The control plane's pods share the host's network and see of its files only what each needs; nothing else is granted.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import yaml

from tiphys.cmd import image_build_tiphys, settings
from tiphys.cmd.config import ClusterConfig, ConfigError, load

Manifest = dict[str, Any]
_NAMESPACE: Final = "kube-system"
_CRITICAL: Final = {"priorityClassName": "system-node-critical", "priority": 2000001000}
_DROPPED: Final = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
# Component to what it reads and writes below the data directory: a path, whether it may write, whether it is a folder.
_FILES: Final[Mapping[str, tuple[tuple[str, bool, bool], ...]]] = {
    "apiserver": (
        ("cluster.json", False, False),
        ("pki", True, True),
        ("kubeconfigs", True, True),
        ("store", True, True),
    ),
    "scheduler": (("cluster.json", False, False), ("kubeconfigs/scheduler.kubeconfig", False, False)),
    "controller-manager": (
        ("cluster.json", False, False),
        ("kubeconfigs/controller-manager.kubeconfig", False, False),
        ("pki/ca.crt", False, False),
        ("pki/ca.key", False, False),
    ),
}
_REQUESTS: Final = {"apiserver": "250m", "scheduler": "50m", "controller-manager": "100m"}


def control_plane(config: ClusterConfig, image: str) -> dict[str, Manifest]:
    """File name to static pod."""
    return {f"kube-{component}.yaml": _static_pod(component, config, image) for component in _FILES}


def node(config: ClusterConfig, image: str) -> dict[str, Manifest]:
    """File name to object, in the order in which they are to be made."""
    server = urlsplit(settings.server_urls(config)[0])
    environment: list[Manifest] = [
        {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        # Services work when the proxy does: it cannot find the apiserver by one.
        {"name": "KUBERNETES_SERVICE_HOST", "value": server.hostname or ""},
        {"name": "KUBERNETES_SERVICE_PORT", "value": str(server.port or 443)},
    ]
    name = ["--hostname-override", "$(NODE_NAME)"]
    ranges = ["--cluster-cidr", config.pod_cidr, "--service-cluster-ip-range", config.service_cidr]
    proxy = ["proxy", *name, *ranges, "--cluster-id", config.cluster_id]
    dns = ["dns", *name, "--cluster-domain", config.cluster_domain]
    return {
        "kube-proxy-account.yaml": _account("kube-proxy"),
        "kube-dns-account.yaml": _account("kube-dns"),
        "kube-proxy-binding.yaml": _binding("kube-proxy", "system:node-proxier"),
        "kube-proxy.yaml": _daemon_set("kube-proxy", "kube-proxy", image, proxy, environment, ["NET_ADMIN", "NET_RAW"]),
        "tiphys-dns.yaml": _daemon_set("tiphys-dns", "kube-dns", image, dns, environment, ["NET_BIND_SERVICE"]),
    }


def show(what: str, data_dir: Path, image: str, output: Path | None) -> None:
    """Print the manifests as one stream, or write a file each into `output`. Raises ConfigError."""
    kinds: dict[str, Callable[[ClusterConfig, str], dict[str, Manifest]]] = {
        "control-plane": control_plane,
        "node": node,
    }
    if what not in kinds:
        raise ConfigError(f"no manifests for {what!r}: one of {', '.join(kinds)}")
    config = load(data_dir.resolve())
    made = kinds[what](config, image or image_build_tiphys.reference())
    if output is None:
        sys.stdout.write("---\n".join(map(_text, made.values())))
        return
    output.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, manifest in made.items():
        # Whole or not at all: a kubelet may be reading this folder.
        fresh = output / f".{name}"
        fresh.write_text(_text(manifest))
        fresh.replace(output / name)
    sys.stdout.write(f"{len(made)} manifests in {output}\n")


def _static_pod(component: str, config: ClusterConfig, image: str) -> Manifest:
    name = f"kube-{component}"
    mounts, volumes = [], []
    for number, (path, writable, folder) in enumerate(_FILES[component]):
        where = str(config.root / path)
        mounts.append({"name": f"file-{number}", "mountPath": where, "readOnly": not writable})
        kind = "DirectoryOrCreate" if folder else "File"
        volumes.append({"name": f"file-{number}", "hostPath": {"path": where, "type": kind}})
    container: Manifest = {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["tiphys", "run", component, "--data-dir", str(config.root)],
        "resources": {"requests": {"cpu": _REQUESTS[component], "memory": "64Mi"}},
        "securityContext": _DROPPED,
        "volumeMounts": mounts,
    }
    if component == "apiserver":
        container |= _probes(config.secure_port)
    labels = {"component": name, "tier": "control-plane"}
    spec = {
        **_CRITICAL,
        "hostNetwork": True,
        "dnsPolicy": "Default",
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": volumes,
    }
    meta = {"name": name, "namespace": _NAMESPACE, "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def _probes(port: int) -> Manifest:
    def probe(path: str, **more: int) -> Manifest:
        return {"httpGet": {"host": "127.0.0.1", "path": path, "port": port, "scheme": "HTTPS"}, **more}

    return {
        "startupProbe": probe("/livez", periodSeconds=1, failureThreshold=60, timeoutSeconds=5),
        "livenessProbe": probe("/livez", periodSeconds=10, failureThreshold=8, timeoutSeconds=15),
        "readinessProbe": probe("/readyz", periodSeconds=5, failureThreshold=3, timeoutSeconds=15),
    }


def _daemon_set(
    name: str, account: str, image: str, arguments: list[str], environment: list[Manifest], capabilities: list[str]
) -> Manifest:
    labels = {"k8s-app": name}
    container = {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["tiphys", *arguments],
        "env": environment,
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
        "securityContext": {**_DROPPED, "capabilities": {"drop": ["ALL"], "add": capabilities}},
    }
    spec = {
        "priorityClassName": "system-node-critical",
        "serviceAccountName": account,
        "hostNetwork": True,
        "dnsPolicy": "Default",
        "tolerations": [{"operator": "Exists"}],
        "containers": [container],
    }
    meta = {"name": name, "namespace": _NAMESPACE, "labels": labels}
    template = {"metadata": {"labels": labels}, "spec": spec}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": meta,
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    }


def _account(name: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": _NAMESPACE}}


def _binding(account: str, role: str) -> Manifest:
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": f"tiphys:{account}"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": _NAMESPACE}],
    }


def _text(manifest: Manifest) -> str:
    return yaml.dump(manifest, Dumper=_Plain, sort_keys=False)


class _Plain(yaml.SafeDumper):
    """Writes what is there twice twice, not as an alias."""

    def ignore_aliases(self, data: object) -> bool:
        return True
