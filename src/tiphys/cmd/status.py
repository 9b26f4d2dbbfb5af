"""`tiphys status`: what runs, as a table."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import Node, Pod
from tiphys.client import kubeconfig
from tiphys.client.client import Client
from tiphys.cmd import config as cluster_config
from tiphys.cmd import supervision
from tiphys.cmd.config import ClusterConfig

console = Console(highlight=False)


def status(data_dir: Path) -> int:
    """Print processes, nodes and a count of pods; 0 when the cluster is up and its nodes are ready, else 1."""
    config = cluster_config.load(data_dir.resolve())
    report = supervision.ask(config)
    if report is None:
        console.print(f"cluster in {config.data_dir}: stopped (`tiphys up` starts it)")
        return 1
    table = Table("process", "pid", "up", "restarts", box=None)
    for process in report.processes:
        pid = str(process.pid) if process.pid else "restarting"
        table.add_row(process.name, pid, f"{process.uptime_seconds:.0f} s", str(process.restarts))
    console.print(f"cluster in {config.data_dir}, apiserver at {config.server}")
    console.print(table)
    return asyncio.run(_nodes(config))


async def _nodes(config: ClusterConfig) -> int:
    client = Client.from_config(kubeconfig.load(config.admin_kubeconfig))
    try:
        nodes, pods = (await client.list(Node)).items, (await client.list(Pod)).items
    except (ApiError, OSError) as error:
        console.print(f"the apiserver does not answer: {error}")
        return 1
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
    return 0 if healthy else 1
