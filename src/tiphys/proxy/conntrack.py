"""Connections that the kernel remembers and must forget.

A UDP flow has no end: its next packet goes where the first went, though that endpoint is gone, or to the address that
had no endpoint when the flow began. TCP needs nothing: its peer answers with a reset.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from tiphys.base.logging import get_logger
from tiphys.proxy.ruleset import ELEMENT, Changes, Item

_logger = get_logger(__name__)
TIMEOUT_SECONDS = 20.0
MAXIMUM_AT_ONCE = 4


class Flow(NamedTuple):
    """UDP flows to forget: to this address ("" any, a node port) and port, of those the ones sent to ``target``.

    ``target`` "" means those that were sent nowhere else, begun while the Service had no endpoint.
    """

    address: str
    port: int
    target: str

    def arguments(self) -> list[str]:
        found = ["-D", "-f", "ipv4", "-p", "udp", "--orig-port-dst", str(self.port)]
        found += ["--orig-dst", self.address] if self.address else []
        found += ["--dst-nat", self.target] if self.target else []
        return found


def _flow(key: str, target: str) -> Flow | None:
    """From an element's key (``[address . ]udp . port``); None when it is not UDP."""
    parts = key.split(" . ")
    address = parts[0] if len(parts) == 3 else ""
    protocol, port = parts[-2], int(parts[-1])
    return Flow(address, port, target) if protocol == "udp" else None


def stale_flows(changes: Changes, affinity_gone: Iterable[Flow] = ()) -> list[Flow]:
    """The flows to forget after these changes, sorted."""
    gone: set[Flow] = set(affinity_gone)
    kept: set[Flow] = set()
    for item, (before, after) in changes.items():
        if item.kind != ELEMENT:
            continue
        if "endpoints-" in item.name:
            for value, into in ((before, gone), (after, kept)):
                if value is not None:
                    flow = _flow(item.key, value.split(" . ")[0])
                    if flow is not None:
                        into.add(flow)
        elif item.name.startswith("unserved") and before is not None and after is None:
            flow = _flow(item.key, "")
            if flow is not None:
                gone.add(flow)
    return sorted(gone - kept)


def affinity_flows(before: Mapping[Item, str], after: Mapping[Item, str]) -> list[Flow]:
    """The same for a Service with session affinity, whose endpoints are chains and not elements."""
    targets = _affinity_targets(before) - _affinity_targets(after)
    fronts = [i.key for i in before if i.kind == ELEMENT and i.name in ("services", "node-ports")] if targets else []
    flows = (_flow(key, target) for key in fronts for target in targets)
    return [flow for flow in flows if flow is not None]


def _affinity_targets(items: Mapping[Item, str]) -> set[str]:
    return {
        value.rpartition("dnat to ")[2].partition(":")[0]
        for item, value in items.items()
        if item.name.startswith("affinity-") and "dnat to " in value
    }


async def forget(flows: Iterable[Flow]) -> None:
    """Make the kernel forget them. That there are none is no error; without ``conntrack`` it is only logged."""
    limit = asyncio.Semaphore(MAXIMUM_AT_ONCE)

    async def one(flow: Flow) -> None:
        async with limit:
            process = await asyncio.create_subprocess_exec(
                "conntrack",
                *flow.arguments(),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
            )
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await process.wait()

    try:
        await asyncio.gather(*(one(flow) for flow in flows))
    except FileNotFoundError:
        _logger.warning("conntrack is not installed: UDP clients may keep sending to endpoints that are gone")
    except TimeoutError:
        _logger.warning("conntrack does not answer: UDP clients may keep sending to endpoints that are gone")
