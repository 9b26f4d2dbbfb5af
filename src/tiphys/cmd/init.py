"""`tiphys init`: a cluster's settings and credentials, and nothing started: for units and static pods to run from."""

from __future__ import annotations

import socket
from pathlib import Path

import msgspec

from tiphys.cmd import config as cluster_config
from tiphys.cmd.certificates import PkiError
from tiphys.cmd.config import ClusterConfig, ConfigError
from tiphys.cmd.prepare import prepare
from tiphys.cmd.standalone import node_name


def init(settings: ClusterConfig) -> bool:
    """Write cluster.json, authority, certificates and kubeconfigs, all 0600; False if they were there already, for the
    same settings. Raises ConfigError when there is another cluster."""
    path = settings.root / cluster_config.CLUSTER_FILE
    known = cluster_config.load(settings.root) if path.exists() else None
    if known is not None and known != settings:
        changed = [f for f in settings.__struct_fields__ if getattr(settings, f) != getattr(known, f)]
        raise ConfigError(f"there is a cluster in {settings.data_dir} already, with another {', '.join(changed)}")
    cluster_config.save(settings)
    try:
        prepare(settings)
    except PkiError as error:
        raise ConfigError(str(error)) from error
    return known is None


def settings_of(data_dir: Path, **given: object) -> ClusterConfig:
    """The settings from what the user gave; the machine's name and address where nothing was. Raises ConfigError."""
    chosen = {name: value for name, value in given.items() if value}
    chosen.setdefault("node_name", node_name(socket.gethostname()))
    address = chosen.setdefault("node_ip", cluster_config.host_address())
    if not address:
        raise ConfigError("this machine has no address but loopback: give --node-ip")
    try:
        return msgspec.convert({"data_dir": str(data_dir.resolve()), **chosen}, ClusterConfig)
    except msgspec.ValidationError as error:
        raise ConfigError(str(error)) from None
