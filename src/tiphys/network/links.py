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


async def _run(program: str, *arguments: str, stdin: bytes = b"") -> bytes:
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            *arguments,
            stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except FileNotFoundError:
        raise LinkError(f"{program} is not installed (Debian package iproute2)") from None
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            output, errors = await process.communicate(stdin or None)
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    if process.returncode:
        raise LinkError(f"{program} {' '.join(arguments)}: {errors.decode(errors='replace').strip()}")
    return output


async def show(*arguments: str, program: str = "ip") -> list[dict[str, Any]]:
    """Run ``ip`` (or ``bridge``) and return what it lists, if anything. Raises LinkError."""
    output = await _run(program, "-json", *arguments)
    # It lists nothing as an empty array, or as nothing.
    listed: list[dict[str, Any]] = json.loads(output) if output.strip() else []
    return [item for item in listed if item]


async def batch(program: str, lines: list[str]) -> None:
    """Perform many commands of ``ip`` or ``bridge`` in one process. Raises LinkError after trying all of them."""
    if lines:
        await _run(program, "-force", "-batch", "-", stdin="\n".join([*lines, ""]).encode())


async def _names(*arguments: str) -> list[str]:
    return [item["ifname"] for item in await show("link", *arguments)]


async def ensure_bridge(name: str, address: str, pod_cidr: str, mtu_bytes: int) -> None:
    """A bridge of that name, up, with exactly this address. ``mtu_bytes`` 0 keeps the kernel's."""
    wanted = (address, ipaddress.ip_network(pod_cidr).prefixlen)
    if name not in await _names("show"):
        await show("link", "add", "name", name, "type", "bridge", "forward_delay", "0")
    for link in await show("-4", "addr", "show", "dev", name):
        for existing in link.get("addr_info", ()):
            if (existing["local"], existing["prefixlen"]) != wanted:
                await show("addr", "del", f"{existing['local']}/{existing['prefixlen']}", "dev", name)
    await show("addr", "replace", f"{wanted[0]}/{wanted[1]}", "dev", name)
    await show("link", "set", name, *(("mtu", str(mtu_bytes)) if mtu_bytes else ()), "up")
    Path(f"/proc/sys/net/ipv4/conf/{name}/send_redirects").write_text("0")


async def ensure_route(destination: str, source: str) -> None:
    """A route by loopback with ``source`` as the address of packets this node itself sends there.

    Packets are redirected (or refused) by nftables before they would follow it; but without a route, on a host that
    has no default one, there would be no packet.
    """
    await show("route", "replace", destination, "dev", "lo", "proto", "static", "scope", "link", "src", source)


async def delete_route(destination: str) -> None:
    """Delete our route to there. Idempotent."""
    with contextlib.suppress(LinkError):
        await show("route", "del", destination, "dev", "lo", "proto", "static", "scope", "link")


async def delete_bridge(name: str) -> None:
    """Delete the bridge and the pods' links on it. Idempotent."""
    if name not in await _names("show"):
        return
    for port in await _names("show", "master", name):
        with contextlib.suppress(LinkError):  # its other end may have gone, and it with it
            await show("link", "del", port)
    await show("link", "del", name)


async def other_bridges(name: str) -> list[str]:
    """The bridges of other clusters on this host."""
    names = await _names("show", "type", "bridge")
    return [other for other in names if other.startswith(BRIDGE_PREFIX) and other != name]


async def uplink_mtu_bytes(node_ip: str = "") -> int:
    """The MTU of the link with the node's address, else of that with the default route; 0 when there is neither."""
    for link in await show("-4", "addr", "show", "to", f"{node_ip}/32") if node_ip else ():
        return int(link["mtu"])
    for route in await show("-4", "route", "show", "default"):
        for link in await show("link", "show", "dev", route["dev"]) if "dev" in route else ():
            return int(link["mtu"])
    return 0
