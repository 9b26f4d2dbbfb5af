"""The nft rules that let pods talk to the world beyond the cluster from their node's address."""

from __future__ import annotations

FAMILY = "ip"
MULTICAST = "224.0.0.0/4"


def script(table: str, pod_cidr: str, cluster_cidr: str) -> str:
    """Make the table as it should be, whatever was in it."""
    return f"""\
add table {FAMILY} {table}
delete table {FAMILY} {table}
table {FAMILY} {table} {{
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {pod_cidr} ip daddr != {{ {cluster_cidr}, {MULTICAST} }} masquerade fully-random
  }}
}}
"""
