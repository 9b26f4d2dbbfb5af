"""Hears from the kernel, without polling, when something that leads to other nodes' pods was changed or taken away."""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection
from typing import Final

from tiphys.base.netlink_watch import NetlinkWatch

NETLINK_ROUTE: Final = 0
GROUPS: Final = 0x1 | 0x4 | 0x10 | 0x40  # links, neighbours and forwarding, IPv4 addresses, IPv4 routes
# NEWLINK, DELLINK, NEWADDR, DELADDR, NEWNEIGH, DELNEIGH: their payloads have the link's number at the fifth byte.
OF_LINKS: Final = frozenset({16, 17, 20, 21, 28, 29})
DELETED_ROUTE: Final = 25


def concerns(data: bytes, link_numbers: Collection[int], protocol: int) -> bool:
    """Whether a batch of netlink messages speaks of one of these links, or of a deleted route of this protocol."""
    offset = 0
    while offset + 16 <= len(data):
        length, kind = struct.unpack_from("=IH", data, offset)
        if length < 16:
            return False
        if offset + 28 <= len(data):
            if kind in OF_LINKS and struct.unpack_from("=i", data, offset + 20)[0] in link_numbers:
                return True
            if kind == DELETED_ROUTE and data[offset + 21] == protocol:
                return True
        offset += (length + 3) & ~3
    return False


class LinkWatch(NetlinkWatch):
    """Calls ``on_change`` when links, their addresses or their neighbours change, or a route of ours is deleted.

    ``links`` are the numbers that matter.
    """

    def __init__(self, protocol: int, on_change: Callable[[], None]) -> None:
        self.links: set[int] = set()
        super().__init__(NETLINK_ROUTE, lambda data: concerns(data, self.links, protocol), on_change, groups=GROUPS)
