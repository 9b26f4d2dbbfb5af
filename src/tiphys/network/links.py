"""Links, addresses and routes of the node, by iproute2's ``ip``: a few calls in a node's life.

(A netlink library would stay in the memory of the node's process for them, 12 MB for good.)
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
from pathlib import Path
from typing import Any

BRIDGE_PREFIX = "tiphys-"
TIMEOUT_SECONDS = 20.0


class LinkError(Exception):
    """``ip`` refused or is missing; the text is its own words."""


async def _ip(*arguments: str) -> list[dict[str, Any]]:
    """Run ``ip`` and return what it lists, if anything."""
    try:
        process = await asyncio.create_subprocess_exec(
            "ip", "-json", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
    except FileNotFoundError:
        raise LinkError("ip is not installed (Debian package iproute2)") from None
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            output, errors = await process.communicate()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    if process.returncode:
        raise LinkError(f"ip {' '.join(arguments)}: {errors.decode(errors='replace').strip()}")
    # It lists nothing as an empty array, or as nothing.
    listed: list[dict[str, Any]] = json.loads(output) if output.strip() else []
    return [item for item in listed if item]


async def _names(*arguments: str) -> list[str]:
    return [item["ifname"] for item in await _ip("link", *arguments)]


async def ensure_bridge(name: str, address: str, pod_cidr: str, mtu_bytes: int) -> None:
    """A bridge of that name, up, with exactly this address. ``mtu_bytes`` 0 keeps the kernel's."""
    wanted = (address, ipaddress.ip_network(pod_cidr).prefixlen)
    if name not in await _names("show"):
        await _ip("link", "add", "name", name, "type", "bridge", "forward_delay", "0")
    for link in await _ip("-4", "addr", "show", "dev", name):
        for existing in link.get("addr_info", ()):
            if (existing["local"], existing["prefixlen"]) != wanted:
                await _ip("addr", "del", f"{existing['local']}/{existing['prefixlen']}", "dev", name)
    await _ip("addr", "replace", f"{wanted[0]}/{wanted[1]}", "dev", name)
    await _ip("link", "set", name, *(("mtu", str(mtu_bytes)) if mtu_bytes else ()), "up")
    Path(f"/proc/sys/net/ipv4/conf/{name}/send_redirects").write_text("0")


async def ensure_route(destination: str, source: str) -> None:
    """A route by loopback with ``source`` as the address of packets this node itself sends there.

    Packets are redirected (or refused) by nftables before they would follow it; but without a route, on a host that
    has no default one, there would be no packet.
    """
    await _ip("route", "replace", destination, "dev", "lo", "proto", "static", "scope", "link", "src", source)


async def delete_route(destination: str) -> None:
    """Delete our route to there. Idempotent."""
    with contextlib.suppress(LinkError):
        await _ip("route", "del", destination, "dev", "lo", "proto", "static", "scope", "link")


async def delete_bridge(name: str) -> None:
    """Delete the bridge and the pods' links on it. Idempotent."""
    if name not in await _names("show"):
        return
    for port in await _names("show", "master", name):
        with contextlib.suppress(LinkError):  # its other end may have gone, and it with it
            await _ip("link", "del", port)
    await _ip("link", "del", name)


async def other_bridges(name: str) -> list[str]:
    """The bridges of other clusters on this host."""
    names = await _names("show", "type", "bridge")
    return [other for other in names if other.startswith(BRIDGE_PREFIX) and other != name]


async def uplink_mtu_bytes() -> int:
    """The MTU of the link with the default route; 0 when there is no such route."""
    for route in await _ip("-4", "route", "show", "default"):
        for link in await _ip("link", "show", "dev", route["dev"]) if "dev" in route else ():
            return int(link["mtu"])
    return 0
