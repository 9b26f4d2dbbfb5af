"""What must be on disk before a cluster's processes start."""

from __future__ import annotations

from datetime import UTC, datetime

from tiphys.cmd import aggregation_pki, pki
from tiphys.cmd.config import ClusterConfig


def prepare(config: ClusterConfig) -> pki.Pki:
    """Make the folders and credentials of `config`'s cluster, or renew them; idempotent. Raises PkiError."""
    now = datetime.now(UTC)
    config.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    config.store_path.parent.mkdir(mode=0o700, exist_ok=True)
    config.log_dir.mkdir(mode=0o700, exist_ok=True)
    made = pki.ensure(config, now)
    aggregation_pki.ensure(config, now)
    if config.etcd_servers or config.etcd_member:
        from tiphys.cmd import etcd

        etcd.ensure_credentials(config, now)
    return made
