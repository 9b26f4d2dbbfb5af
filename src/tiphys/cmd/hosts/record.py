"""What is on disk about a cluster's hosts: ``<data-dir>/hosts.json``, and ``<data-dir>/hosts/<name>`` for each."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from tiphys.cmd.certificates import write_private
from tiphys.cmd.config import ClusterConfig, ConfigError
from tiphys.cmd.hosts.plan import Host, Hosts

HOSTS_FILE: Final = "hosts.json"
NO_HOSTS: Final = "the cluster in {} has no hosts of its own: it was not started with `tiphys up --nodes`"


def load(config: ClusterConfig) -> Hosts | None:
    """The cluster's hosts; None for a cluster that has none. Raises ConfigError when the record is damaged."""
    path = config.root / HOSTS_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Hosts)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise ConfigError(f"{path} is damaged ({error}); `tiphys down` removes the cluster") from None


def require(config: ClusterConfig) -> Hosts:
    """As `load`; raises ConfigError for a cluster without hosts."""
    found = load(config)
    if found is None:
        raise ConfigError(NO_HOSTS.format(config.data_dir))
    return found


def save(config: ClusterConfig, hosts: Hosts) -> None:
    write_private(config.root / HOSTS_FILE, msgspec.json.format(msgspec.json.encode(hosts)) + b"\n")


def directory(config: ClusterConfig, host: Host) -> Path:
    """The host's disk."""
    return config.root / "hosts" / host.name
