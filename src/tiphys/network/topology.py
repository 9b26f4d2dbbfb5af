"""Where other nodes' pods are, and what the kernel of this node must know to reach them. Pure.

    backend vxlan:   route      10.244.2.0/24 via 10.244.2.0 dev tvxlan-…, as if the other node were on a shared link
                     neighbour  10.244.2.0 has MAC 02:54:0a:f4:02:00
                     forwarding 02:54:0a:f4:02:00 is behind node address 172.20.0.12
    backend routes:  route      10.244.2.0/24 via 172.20.0.12, for nodes that do share a link

A node's MAC in the tunnel is made from its podCIDR, so that nodes need to tell each other nothing but what Node objects
say anyway, and a podCIDR that moves to another node changes one forwarding entry.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable
from typing import Final, NamedTuple

from tiphys.api.types.core_v1 import Node

VXLAN, DIRECT = "vxlan", "routes"
OVERHEAD_BYTES: Final = 50
"""What VXLAN over IPv4 adds to a packet: Ethernet 14, IP 20, UDP 8, VXLAN 8."""
ROUTE, NEIGHBOUR, FORWARDING = "route", "neighbour", "forwarding"


class Peer(NamedTuple):
    """Another node: its pods' range and the address its host answers at."""

    pod_cidr: str
    address: str


class Underlay(NamedTuple):
    """The link that has this node's address, with its network (``172.20.0.0/24``)."""

    link: str
    network: str
    mtu_bytes: int


class Device(NamedTuple):
    """A VXLAN device. ``address`` is its own ("": none): the source of what this node itself sends to remote pods."""

    name: str
    mac: str
    vni: int
    port: int
    local: str
    link: str
    mtu_bytes: int
    address: str


class Entry(NamedTuple):
    """One thing the kernel is told.

    route: key is the range, value ``via ADDRESS dev LINK`` and perhaps `` src ADDRESS``; neighbour: an address and its
    MAC; forwarding: a MAC and the host it is behind.
    """

    kind: str
    key: str
    value: str


class Wanted(NamedTuple):
    """``unreachable`` are peers that this backend has no way to, because they are on another link."""

    device: Device | None
    entries: frozenset[Entry]
    unreachable: tuple[Peer, ...] = ()


def mac_of(address: str) -> str:
    """The MAC in the tunnel of the node that has this address (or range): locally administered, the same everywhere."""
    first = ipaddress.ip_network(address, strict=False)[0]
    return ":".join(f"{byte:02x}" for byte in (0x02, 0x54, *first.packed))


def vni_of(cluster_cidr: str) -> int:
    """The cluster's network identifier: clusters with different ranges can share a host and a UDP port."""
    return int.from_bytes(hashlib.sha256(cluster_cidr.encode()).digest()[:3]) or 1


def internal_address(node: Node) -> str:
    """The node's first IPv4 InternalIP; "" when it has told none yet."""
    found = (a.address for a in node.status.addresses if a.type == "InternalIP" and ":" not in a.address)
    return next(found, "")


def peers(nodes: Iterable[Node], own_name: str) -> list[Peer]:
    """The other nodes, sorted. Of two that claim a range (one is being replaced) the younger has it."""
    found: dict[str, Peer] = {}
    for node in sorted(nodes, key=lambda n: (n.metadata.creation_timestamp or "", n.metadata.name or "")):
        address = internal_address(node)
        if node.metadata.name == own_name or not address:
            continue
        for pod_cidr in node.spec.pod_cidrs or (node.spec.pod_cidr or "",):
            if pod_cidr and ":" not in pod_cidr:
                found[pod_cidr] = Peer(pod_cidr, address)
    return sorted(found.values())


def _direct(peer: Peer, underlay: Underlay) -> Entry | None:
    if ipaddress.ip_address(peer.address) not in ipaddress.ip_network(underlay.network):
        return None
    return Entry(ROUTE, peer.pod_cidr, f"via {peer.address} dev {underlay.link}")


def _tunnelled(peer: Peer, device: Device) -> list[Entry]:
    gateway, mac = str(ipaddress.ip_network(peer.pod_cidr)[0]), mac_of(peer.pod_cidr)
    source = "" if device.address else f" src {device.local}"
    return [
        Entry(ROUTE, peer.pod_cidr, f"via {gateway} dev {device.name}{source}"),
        Entry(NEIGHBOUR, gateway, mac),
        Entry(FORWARDING, mac, peer.address),
    ]


def wanted(
    others: Iterable[Peer], own_cidr: str, node_ip: str, underlay: Underlay, *, backend: str, device_name: str,
    vni: int, port: int,
) -> Wanted:  # fmt: skip
    """What this node's kernel must know. ``own_cidr`` is "" on a host without pods (a control plane's).

    Such a host sends directly where it shares a link, since pods answer its own address past the tunnel.
    """
    device = Device(
        name=device_name, mac=mac_of(own_cidr or node_ip), vni=vni, port=port, local=node_ip, link=underlay.link,
        mtu_bytes=underlay.mtu_bytes - OVERHEAD_BYTES,
        address=str(ipaddress.ip_network(own_cidr)[0]) if own_cidr else "",
    )  # fmt: skip
    entries: list[Entry] = []
    unreachable: list[Peer] = []
    tunnel_used = False
    for peer in others:
        if peer.address == node_ip or peer.pod_cidr == own_cidr:
            continue
        direct = _direct(peer, underlay) if backend == DIRECT or not own_cidr else None
        if direct:
            entries.append(direct)
        elif backend == VXLAN:
            tunnel_used = True
            entries += _tunnelled(peer, device)
        else:
            unreachable.append(peer)
    return Wanted(device if tunnel_used else None, frozenset(entries), tuple(unreachable))


def commands(
    before: Iterable[Entry], after: Iterable[Entry], device: str, protocol: int
) -> tuple[list[str], list[str]]:
    """Lines for ``bridge -batch`` and then ``ip -batch`` that bring the kernel from one set of entries to another.

    What others refer to comes first and goes last; what is only changed is replaced, so that no packet meets a gap.
    """
    before, after = set(before), set(after)
    kept = {(entry.kind, entry.key) for entry in after}
    gone = sorted(entry for entry in before - after if (entry.kind, entry.key) not in kept)
    bridge: list[str] = []
    ip: list[str] = []
    for entry in sorted(gone, key=lambda e: e.kind != ROUTE):
        if entry.kind == ROUTE:
            ip.append(f"route del {entry.key} {entry.value} proto {protocol}")
        elif entry.kind == NEIGHBOUR:
            ip.append(f"neigh del {entry.key} dev {device}")
        else:
            bridge.append(f"fdb del {entry.key} dev {device}")
    for entry in sorted(after - before, key=lambda e: e.kind == ROUTE):
        if entry.kind == ROUTE:
            ip.append(f"route replace {entry.key} {entry.value} onlink proto {protocol}")
        elif entry.kind == NEIGHBOUR:
            ip.append(f"neigh replace {entry.key} lladdr {entry.value} dev {device} nud permanent")
        else:
            bridge.append(f"fdb replace {entry.key} dev {device} dst {entry.value} self permanent")
    return bridge, ip
