"""Hosts whose firewall drops what it does not know to forward (Docker and ufw set such a policy): pods are made known.

A verdict of another table cannot undo a drop, so two rules must go where the drop is. They are put there by iptables,
whose chain it is, and taken away by it.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator

from tiphys.base import nft
from tiphys.base.logging import get_logger

CHAIN = "FORWARD"
TIMEOUT_SECONDS = 20.0
_logger = get_logger(__name__)


async def drops() -> bool:
    """Whether iptables' forward chain drops by policy. Asking by nft makes no chain where there was none."""
    return any(
        item.get("chain", {}).get("name") == CHAIN and item["chain"].get("policy") == "drop"
        for item in await nft.list_table("ip", "filter")
    )


def _rules(bridge: str, cluster_cidr: str) -> Iterator[list[str]]:
    """By address too: what comes for another node's pod (by a node port of this one) passes no bridge of ours."""
    for what in (("-i", bridge), ("-o", bridge), ("-s", cluster_cidr), ("-d", cluster_cidr)):
        yield [CHAIN, *what, "-m", "comment", "--comment", bridge, "-j", "ACCEPT"]


async def _iptables(*arguments: str) -> bool:
    process = await asyncio.create_subprocess_exec(
        "iptables", "-w", *arguments, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    async with asyncio.timeout(TIMEOUT_SECONDS):
        return await process.wait() == 0


async def ensure(bridge: str, cluster_cidr: str) -> None:
    """Let packets of pods, of this node and of others, pass where they would not. Idempotent."""
    if not await drops():
        return
    if shutil.which("iptables") is None:
        _logger.warning("the firewall drops forwarded packets, and iptables is not there to let pods' pass")
        return
    for rule in _rules(bridge, cluster_cidr):
        if not await _iptables("-C", *rule):
            await _iptables("-I", *rule)


async def restore(bridge: str, cluster_cidr: str) -> None:
    """Take the rules away. Idempotent; touches nothing where there are none."""
    if shutil.which("iptables") is None or not await drops():
        return
    for rule in _rules(bridge, cluster_cidr):
        if await _iptables("-C", *rule):
            await _iptables("-D", *rule)
