"""Hears when someone else changes an nft table: from the kernel's own announcements, without polling."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Iterator

NETLINK_NETFILTER = 12
NFNLGRP_NFTABLES = 7
SOL_NETLINK, NETLINK_ADD_MEMBERSHIP = 270, 1
NFNL_SUBSYS_NFTABLES = 10
# What takes rules away: DELTABLE, DELCHAIN, DELRULE, DELSET, DELSETELEM.
DELETIONS = frozenset({2, 5, 8, 11, 14})
ATTRIBUTE_TABLE = 1  # in each of those messages the table's name
RECEIVE_BYTES = 1 << 18


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


class TableWatch:
    """Calls ``on_deletion`` whenever something is deleted from the table, by us as well as by others.

    It is also called when announcements were lost, since one of them may have been such. Use as a context manager on a
    running event loop.
    """

    def __init__(self, table: str, on_deletion: Callable[[], None]) -> None:
        self._table = table
        self._on_deletion = on_deletion
        self._socket: socket.socket | None = None

    def __enter__(self) -> TableWatch:
        receiver = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, NETLINK_NETFILTER)
        receiver.bind((0, 0))
        receiver.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, NFNLGRP_NFTABLES)
        asyncio.get_running_loop().add_reader(receiver.fileno(), self._receive)
        self._socket = receiver
        return self

    def __exit__(self, *_: object) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _receive(self) -> None:
        assert self._socket is not None
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:  # ENOBUFS: the kernel had more to say than we had room for
            self._on_deletion()
            return
        if self._table in deletions(data):
            self._on_deletion()
