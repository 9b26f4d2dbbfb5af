"""`tiphys status`: what runs, as a table."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tiphys.cli.nodes import show_nodes
from tiphys.cmd import config as cluster_config
from tiphys.cmd import supervision
from tiphys.cmd.hosts import record

console = Console(highlight=False, soft_wrap=True)


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
    hosts = record.load(config)
    if hosts is not None:
        from tiphys.cmd.hosts.actions import print_hosts

        print_hosts(config, hosts)
    if config.role in ("worker", "etcd"):
        return 0
    return 0 if asyncio.run(show_nodes(str(config.admin_kubeconfig), console)) else 1
