"""What the kernel knows of ways to other nodes' pods, read and changed through iproute2's ``ip`` and ``bridge``."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Iterable
from pathlib import Path

from tiphys.network import links
from tiphys.network.links import LinkError
from tiphys.network.topology import FORWARDING, NEIGHBOUR, ROUTE, Device, Entry, Underlay, commands

ROUTE_PROTOCOL = 84
"""Marks our routes among the host's (see /etc/iproute2/rt_protos: nobody's)."""


async def underlay(node_ip: str) -> Underlay:
    """The link with the node's address; raises LinkError when no link has it (yet)."""
    for link in await links.show("-4", "addr", "show", "to", f"{node_ip}/32"):
        for address in link.get("addr_info", ()):
            if address.get("local") == node_ip:
                network = ipaddress.ip_network(f"{node_ip}/{address['prefixlen']}", strict=False)
                return Underlay(link["ifname"], str(network), int(link["mtu"]))
    raise LinkError(f"no link has the node's address {node_ip}")


async def index(link: str) -> int:
    """The link's number in the kernel; 0 when there is none."""
    return next((int(found["ifindex"]) for found in await links.show("link", "show") if found["ifname"] == link), 0)


async def _existing(name: str) -> Device | None:
    """The device as it is; None when there is none, or a link of another kind, or one that is down."""
    for link in await links.show("-details", "addr", "show"):
        info = link.get("linkinfo", {})
        if link["ifname"] != name or info.get("info_kind") != "vxlan" or "UP" not in link["flags"]:
            continue
        data = info["info_data"]
        addresses = [a["local"] for a in link.get("addr_info", ()) if a["family"] == "inet"]
        return Device(
            name=name, mac=link["address"], vni=data["id"], port=data["port"], local=data.get("local", ""),
            link=data.get("link", ""), mtu_bytes=link["mtu"], address=addresses[0] if addresses else "",
        )  # fmt: skip
    return None


async def ensure_device(device: Device) -> bool:
    """Make the device exactly so; whether anything had to be done (then its entries are gone). Raises LinkError."""
    if await _existing(device.name) == device:
        return False
    await delete_device(device.name)
    await links.show(
        "link", "add", "name", device.name, "address", device.mac, "mtu", str(device.mtu_bytes), "type", "vxlan",
        "id", str(device.vni), "dstport", str(device.port), "local", device.local, "dev", device.link, "nolearning",
    )  # fmt: skip
    with contextlib.suppress(OSError):
        # It has no use for an IPv6 address of its own, whose announcements would go nowhere.
        Path(f"/proc/sys/net/ipv6/conf/{device.name}/disable_ipv6").write_text("1")
    if device.address:
        await links.show("addr", "add", f"{device.address}/32", "dev", device.name)
    await links.show("link", "set", device.name, "up")
    return True


async def delete_device(name: str) -> None:
    """Delete it and, with it, its entries. Idempotent."""
    if any(link["ifname"] == name for link in await links.show("link", "show")):
        await links.show("link", "del", name)


async def entries(device: str, cluster_cidr: str) -> set[Entry]:
    """Our entries as the kernel has them; routes of other clusters on this host are not ours."""
    found = await _routes(cluster_cidr)
    if not await index(device):
        return found
    for neighbour in await links.show("-4", "neigh", "show", "dev", device, "nud", "permanent"):
        found.add(Entry(NEIGHBOUR, neighbour["dst"], neighbour.get("lladdr", "")))
    for forwarding in await links.show("fdb", "show", "dev", device, program="bridge"):
        if "dst" in forwarding:
            found.add(Entry(FORWARDING, forwarding["mac"], forwarding["dst"]))
    return found


async def _routes(cluster_cidr: str) -> set[Entry]:
    cluster = ipaddress.ip_network(cluster_cidr)
    found = set()
    for route in await links.show("-4", "route", "show", "proto", str(ROUTE_PROTOCOL)):
        if route["dst"] == "default" or not cluster.overlaps(ipaddress.ip_network(route["dst"])):
            continue
        source = f" src {route['prefsrc']}" if "prefsrc" in route else ""
        found.add(Entry(ROUTE, route["dst"], f"via {route.get('gateway', '')} dev {route['dev']}{source}"))
    return found


async def change(before: Iterable[Entry], after: Iterable[Entry], device: str) -> None:
    """Bring the kernel from one set of entries to another. Raises LinkError; part of it may have been done then."""
    bridge, ip = commands(before, after, device, ROUTE_PROTOCOL)
    await links.batch("bridge", bridge)
    await links.batch("ip", ip)


async def cleanup(device: str, cluster_cidr: str) -> None:
    """Remove the device and all our routes. Idempotent."""
    await change(await _routes(cluster_cidr), (), device)
    await delete_device(device)
