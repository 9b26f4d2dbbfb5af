"""What the control plane publishes for machines that join: where it is, who it is, and how nodes are set up.

ConfigMap kube-public/cluster-info    kubeconfig without credentials (signed with each bootstrap token)
ConfigMap kube-system/tiphys-config   settings.json: `NodeSettings`
"""

from __future__ import annotations

import base64
from typing import Any, Final, Literal

import msgspec
import yaml

from tiphys.api.bootstrap_tokens import CLUSTER_INFO, CLUSTER_INFO_NAMESPACE, KUBECONFIG_KEY, SIGNATURE_PREFIX
from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import ConfigMap
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.client.client import Client
from tiphys.cmd.config import ClusterConfig

SETTINGS: Final = "tiphys-config"
SETTINGS_NAMESPACE: Final = "kube-system"
_KEY: Final = "settings.json"


class NodeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What of a `ClusterConfig` all machines share, under the same names: a field here is published and taken over.
    Those that an older or newer version does not know are skipped."""

    server_urls: tuple[str, ...]
    service_cidr: str
    pod_cidr: str
    node_port_range: tuple[int, int]
    cluster_domain: str
    balancer_port: int = 0
    load_balancer_cidr: str = ""
    network_backend: Literal["vxlan", "routes"] = "vxlan"
    node_monitor_grace_period_seconds: int = 50


def server_urls(config: ClusterConfig) -> tuple[str, ...]:
    """Where other machines find the control plane."""
    return config.server_urls or (f"https://{config.node_ip}:{config.secure_port}",)


def shared(config: ClusterConfig) -> NodeSettings:
    """The settings to publish."""
    own = {name: getattr(config, name) for name in NodeSettings.__struct_fields__}
    return NodeSettings(**own | {"server_urls": server_urls(config)})


async def publish(client: Client, config: ClusterConfig, ca: bytes) -> None:
    """Make or update both ConfigMaps; `ca` is the authority, PEM. Signatures stay. Raises ApiError."""
    settings = msgspec.json.encode(shared(config)).decode()
    await _ensure(client, SETTINGS_NAMESPACE, SETTINGS, {_KEY: settings})
    await _ensure(
        client, CLUSTER_INFO_NAMESPACE, CLUSTER_INFO, {KUBECONFIG_KEY: cluster_info(server_urls(config)[0], ca)}
    )


def cluster_info(server: str, ca: bytes) -> str:
    """A kubeconfig that says where a cluster is and whom to trust, and nothing else."""
    cluster = {"certificate-authority-data": base64.b64encode(ca).decode(), "server": server}
    document: dict[str, Any] = {
        "apiVersion": "v1",
        "clusters": [{"cluster": cluster, "name": ""}],
        "contexts": None,
        "current-context": "",
        "kind": "Config",
        "preferences": {},
        "users": None,
    }
    return yaml.safe_dump(document, sort_keys=False)


async def read(client: Client) -> NodeSettings:
    """The published settings. Raises ApiError, or msgspec.DecodeError when they are not what they should be."""
    found = await client.get(ConfigMap, SETTINGS, SETTINGS_NAMESPACE)
    return msgspec.json.decode(found.data.get(_KEY, "").encode(), type=NodeSettings)


async def _ensure(client: Client, namespace: str, name: str, data: dict[str, str]) -> None:
    while True:
        try:
            found = await client.get(ConfigMap, name, namespace)
        except ApiError as error:
            if error.code != 404:
                raise
            made = ConfigMap(metadata=ObjectMeta(name=name, namespace=namespace), data=data)
            attempt = client.create(made)
        else:
            signatures = {key: value for key, value in found.data.items() if key.startswith(SIGNATURE_PREFIX)}
            if found.data == signatures | data:
                return
            attempt = client.update(msgspec.structs.replace(found, data=signatures | data))
        try:
            await attempt
            return
        except ApiError as error:
            if error.code != 409:
                raise
