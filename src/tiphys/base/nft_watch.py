"""Hears when someone else changes an nft table: from the kernel's own announcements, without polling."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from tiphys.base.netlink_watch import NetlinkWatch

NETLINK_NETFILTER = 12
NFNLGRP_NFTABLES = 7
NFNL_SUBSYS_NFTABLES = 10
# What takes rules away: DELTABLE, DELCHAIN, DELRULE, DELSET, DELSETELEM.
DELETIONS = frozenset({2, 5, 8, 11, 14})
ATTRIBUTE_TABLE = 1  # in each of those messages the table's name


def deletions(data: bytes) -> Iterator[str]:
    """The tables out of which something was deleted, from the bytes of a batch of netlink messages."""
    offset = 0
    while offset + 20 <= len(data):
        length, kind = struct.unpack_from("=IH", data, offset)
        if length < 16:
            return
        if kind >> 8 == NFNL_SUBSYS_NFTABLES and kind & 0xFF in DELETIONS:
            position, end = offset + 20, min(offset + length, len(data))
            while position + 4 <= end:
                size, attribute = struct.unpack_from("=HH", data, position)
                if size < 4:
                    break
                if attribute & 0x3FFF == ATTRIBUTE_TABLE:
                    yield data[position + 4 : position + size].rstrip(b"\0").decode(errors="replace")
                    break
                position += (size + 3) & ~3
        offset += (length + 3) & ~3


class TableWatch(NetlinkWatch):
    """Calls ``on_deletion`` whenever something is deleted from the table, by us as well as by others."""

    def __init__(self, table: str, on_deletion: Callable[[], None]) -> None:
        super().__init__(
            NETLINK_NETFILTER, lambda data: table in deletions(data), on_deletion, memberships=(NFNLGRP_NFTABLES,)
        )
