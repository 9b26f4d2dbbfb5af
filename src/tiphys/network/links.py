"""Links and addresses of the node, through netlink.

The calls block for milliseconds, and must be made in a thread that runs no event loop: pyroute2 runs its own.
"""

from __future__ import annotations

import contextlib
import ipaddress
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

BRIDGE_PREFIX = "tiphys-"
ROUTE_PROTOCOL = 4  # static: set by an administrator
LINK_SCOPE = 253


def _index(route: Any, name: str) -> int | None:
    found = route.link_lookup(ifname=name)
    return int(found[0]) if found else None


def ensure_bridge(name: str, address: str, pod_cidr: str, mtu_bytes: int) -> None:
    """A bridge of that name, up, with exactly this address. ``mtu_bytes`` 0 keeps the kernel's."""
    prefix_length = ipaddress.ip_network(pod_cidr).prefixlen
    with IPRoute() as route:
        index = _index(route, name)
        if index is None:
            route.link("add", ifname=name, kind="bridge", br_forward_delay=0)
            index = _index(route, name)
        for message in route.get_addr(index=index, family=2):
            existing = message.get_attr("IFA_ADDRESS")
            if (existing, message["prefixlen"]) != (address, prefix_length):
                route.addr("del", index=index, address=existing, prefixlen=message["prefixlen"])
        route.addr("replace", index=index, address=address, prefixlen=prefix_length)
        route.link("set", index=index, state="up", **({"mtu": mtu_bytes} if mtu_bytes else {}))
    Path(f"/proc/sys/net/ipv4/conf/{name}/send_redirects").write_text("0")


def ensure_route(destination: str, source: str) -> None:
    """A route by loopback with ``source`` as the address of packets this node itself sends there.

    Packets are redirected (or refused) by nftables before they would follow it; but without a route, on a host that
    has no default one, there would be no packet.
    """
    with IPRoute() as route:
        loopback = _index(route, "lo")
        route.route("replace", dst=destination, oif=loopback, prefsrc=source, proto=ROUTE_PROTOCOL, scope=LINK_SCOPE)


def delete_route(destination: str) -> None:
    """Delete our route to there. Idempotent."""
    with IPRoute() as route, contextlib.suppress(NetlinkError):
        route.route("del", dst=destination, oif=_index(route, "lo"), proto=ROUTE_PROTOCOL, scope=LINK_SCOPE)


def delete_bridge(name: str) -> None:
    """Delete the bridge and the pods' links on it. Idempotent."""
    with IPRoute() as route:
        index = _index(route, name)
        if index is None:
            return
        for port in route.get_links(master=index):
            route.link("del", index=port["index"])
        route.link("del", index=index)


def other_bridges(name: str) -> list[str]:
    """The bridges of other clusters on this host."""
    with IPRoute() as route:
        names = [link.get_attr("IFLA_IFNAME") for link in route.get_links(kind="bridge")]
    return [other for other in names if other.startswith(BRIDGE_PREFIX) and other != name]


def uplink_mtu_bytes() -> int:
    """The MTU of the link with the default route; 0 when there is no such route."""
    with IPRoute() as route:
        for message in route.get_default_routes(family=2):
            index = message.get_attr("RTA_OIF")
            if index is not None:
                return int(route.get_links(index)[0].get_attr("IFLA_MTU"))
    return 0
