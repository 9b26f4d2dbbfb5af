"""`tiphys snapshot`: save a cluster's state to a file, look at it, bring it back."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from rich.console import Console

from tiphys.base.clock import rfc3339
from tiphys.cmd import config as cluster_config
from tiphys.cmd import etcd, supervision
from tiphys.cmd.config import ClusterConfig, ConfigError
from tiphys.store import snapshot
from tiphys.store.backend import StoreError

console = Console(highlight=False, soft_wrap=True)


def save(file: Path, data_dir: Path) -> None:
    """See `tiphys snapshot save --help`. Raises ConfigError."""
    config = _keeper(data_dir)
    try:
        summary = _save(config, file)
    except StoreError as error:
        raise ConfigError(str(error)) from error
    console.print(
        f"saved {summary.keys} objects ({summary.value_bytes} bytes) of revision {summary.revision} to {file}"
    )
    console.print("it holds Secrets in clear: keep it as safe as the cluster")


def show(file: Path) -> None:
    """See `tiphys snapshot status --help`. Raises ConfigError."""
    try:
        summary, _ = snapshot.read(file)
    except StoreError as error:
        raise ConfigError(str(error)) from error
    for name, value in summary._asdict().items():
        console.print(f"{name.replace('_', ' '):12} {value}")


def restore(file: Path, data_dir: Path, *, overwrite: bool) -> None:
    """See `tiphys snapshot restore --help`. Raises ConfigError."""
    config = _keeper(data_dir)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    try:
        if config.etcd_servers:
            summary, kept = asyncio.run(_restore_etcd(config, file, overwrite=overwrite, stamp=stamp))
        else:
            if supervision.ask(config) is not None:
                raise ConfigError("the cluster is running: `tiphys down --keep-data` first, `tiphys up` afterwards")
            summary, kept = snapshot.restore_sqlite(file, config.store_path, overwrite=overwrite, stamp=stamp)
    except StoreError as error:
        raise ConfigError(str(error)) from error
    console.print(f"restored {summary.keys} objects, saved at {summary.taken_at}")
    if kept is not None:
        console.print(f"what was there before is in {kept}")


def _keeper(data_dir: Path) -> ClusterConfig:
    """The settings of whoever keeps the state: the machine itself, or the first host of the control plane."""
    config = cluster_config.load(data_dir.resolve())
    if config.role == "balancer":
        from tiphys.cmd.hosts import record

        servers = record.require(config).of("server")
        config = cluster_config.load(record.directory(config, servers[0]))
    if config.role not in ("all", "server"):
        raise ConfigError(f"{data_dir} is a {config.role}'s: the state is where the control plane is")
    return config


def _save(config: ClusterConfig, file: Path) -> snapshot.Summary:
    taken_at = rfc3339(time.time())
    if config.etcd_servers:
        return asyncio.run(_save_etcd(config, file, taken_at))
    return snapshot.save_sqlite(config.store_path, file, taken_at)


async def _save_etcd(config: ClusterConfig, file: Path, taken_at: str) -> snapshot.Summary:
    async with etcd.archive(config) as archive:
        revision, entries = await archive.read()
    return snapshot.write(file, entries, revision=revision, taken_at=taken_at, source="etcd")


async def _restore_etcd(
    config: ClusterConfig, file: Path, *, overwrite: bool, stamp: str
) -> tuple[snapshot.Summary, Path | None]:
    summary, entries = snapshot.read(file)
    kept = None
    async with etcd.archive(config) as archive:
        revision, present = await archive.read()
        if present:
            if not overwrite:
                raise ConfigError(
                    f"there are {len(present)} objects in etcd: --overwrite replaces them (and saves them first)"
                )
            kept = config.root / f"before-restore-{stamp}.snapshot"
            snapshot.write(kept, present, revision=revision, taken_at=rfc3339(time.time()), source="etcd")
        await archive.replace(entries, summary.revision)
    return summary, kept
