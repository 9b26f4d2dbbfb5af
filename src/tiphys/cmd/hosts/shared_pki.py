"""What all control planes of a cluster must hold in common: its authorities and the key that signs tokens."""

from __future__ import annotations

from typing import Final

from tiphys.cmd.certificates import write_private
from tiphys.cmd.config import ClusterConfig

SHARED: Final = ("ca.*", "*-ca.*", "sa.*", "etcd/*ca.*")
"""Files below ``pki``: from these each host issues what is its own."""


def give(source: ClusterConfig, target: ClusterConfig) -> None:
    """Copy them to a host of the control plane. Idempotent."""
    for pattern in SHARED:
        for path in sorted(source.pki_dir.glob(pattern)):
            copy = target.pki_dir / path.relative_to(source.pki_dir)
            if path.suffix in (".crt", ".key", ".pub") and not copy.exists():
                write_private(copy, path.read_bytes())
