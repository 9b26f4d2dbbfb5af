"""The nodes of a cluster as a table: ready or not, where, how many pods. Any apiserver will do."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import Node, Pod
from tiphys.client import kubeconfig
from tiphys.client.client import Client


async def show_nodes(credentials: str, console: Console) -> bool:
    """Print the nodes that the kubeconfig file `credentials` leads to; True when there are any and all are ready."""
    client = Client.from_config(kubeconfig.load(credentials))
    try:
        nodes, pods = (await client.list(Node)).items, (await client.list(Pod)).items
    except (ApiError, OSError) as error:
        console.print(f"the apiserver does not answer: {error}")
        return False
    finally:
        await client.close()
    table = Table("node", "ready", "address", "pods", box=None)
    healthy = bool(nodes)
    for node in nodes:
        ready = next((c.status for c in node.status.conditions if c.type == "Ready"), "Unknown")
        healthy &= ready == "True"
        address = next((a.address for a in node.status.addresses if a.type == "InternalIP"), "")
        own = sum(1 for pod in pods if pod.spec.node_name == node.metadata.name)
        table.add_row(node.metadata.name, ready, address, str(own))
    console.print(table)
    return healthy
