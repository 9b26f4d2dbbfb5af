"""Hears from the kernel, without polling, when something that leads to other nodes' pods was changed or taken away."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Collection
from typing import Final

NETLINK_ROUTE: Final = 0
GROUPS: Final = 0x1 | 0x4 | 0x10 | 0x40  # links, neighbours and forwarding, IPv4 addresses, IPv4 routes
# NEWLINK, DELLINK, NEWADDR, DELADDR, NEWNEIGH, DELNEIGH: their payloads have the link's number at the fifth byte.
OF_LINKS: Final = frozenset({16, 17, 20, 21, 28, 29})
DELETED_ROUTE: Final = 25
RECEIVE_BYTES: Final = 1 << 18


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


class LinkWatch:
    """Calls ``on_change`` when links, their addresses or their neighbours change, or a route of ours is deleted.

    By us as well as by others, and when announcements were lost. ``links`` are the numbers that matter. Use as a
    context manager on a running event loop.
    """

    def __init__(self, protocol: int, on_change: Callable[[], None]) -> None:
        self.links: set[int] = set()
        self._protocol = protocol
        self._on_change = on_change
        self._socket: socket.socket | None = None

    def __enter__(self) -> LinkWatch:
        receiver = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, NETLINK_ROUTE)
        receiver.bind((0, GROUPS))
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
            self._on_change()
            return
        if concerns(data, self.links, self._protocol):
            self._on_change()
