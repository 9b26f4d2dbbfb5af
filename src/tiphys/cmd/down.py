"""`tiphys down`: stop everything and take back what was made outside the data directory."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from rich.console import Console

from tiphys.cmd import config as cluster_config
from tiphys.cmd import supervision
from tiphys.cmd.config import ClusterConfig, ConfigError
from tiphys.cmd.exclusive import exclusive
from tiphys.cmd.hosts.record import HOSTS_FILE

console = Console(highlight=False, soft_wrap=True)


def down(data_dir: Path, *, keep_data: bool, purge: bool) -> None:
    """Idempotent: nothing to stop is fine. Raises ConfigError when something could not be stopped or removed."""
    data_dir = data_dir.resolve()
    if not (data_dir / cluster_config.CLUSTER_FILE).exists():
        if data_dir.exists() and any(data_dir.iterdir()):
            raise ConfigError(
                f"{data_dir} is no cluster's data directory (it has no cluster.json): nothing was touched"
            )
        console.print(f"no cluster in {data_dir}")
    else:
        with exclusive(data_dir):
            # Another `down` may have been first.
            if (data_dir / cluster_config.CLUSTER_FILE).exists():
                _stop(cluster_config.load(data_dir), keep_data=keep_data)
    if purge:
        from tiphys.cmd.node import image_cache

        shutil.rmtree(image_cache(), ignore_errors=True)


def _stop(config: ClusterConfig, *, keep_data: bool) -> None:
    with console.status("stopping"):
        supervision.stop(config)
        if (config.root / HOSTS_FILE).exists():
            from tiphys.cmd.hosts.take_down import take_down

            take_down(config)
        if config.runs_node:
            from tiphys.cmd.node import leave_host

            asyncio.run(leave_host(config))
        elif config.role == "server":
            from tiphys.cmd.node import leave_pod_network

            asyncio.run(leave_pod_network(config))
    if keep_data:
        console.print(f"stopped; its state stays in {config.data_dir}, `tiphys up` resumes it")
        return
    try:
        shutil.rmtree(config.root)
    except OSError as error:
        # A directory that is a mount of its own stays, empty.
        if not config.root.is_mount() or any(config.root.iterdir()):
            raise ConfigError(f"{config.data_dir} cannot be removed: {error}") from error
    console.print(f"stopped and removed {config.data_dir}")
