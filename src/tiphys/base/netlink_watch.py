"""Hears what the kernel announces over netlink, without polling."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final, Self

_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP = 270, 1
_RECEIVE_BYTES: Final = 1 << 18


class NetlinkWatch:
    """Calls ``on_change`` when a batch of messages concerns the watcher, be they of our own doing or of others'.

    It is also called when announcements were lost, since one of them may have been such. `groups` is the mask of the
    protocol's first groups, `memberships` are numbers of others. Use as a context manager on a running event loop.
    """

    def __init__(
        self,
        protocol: int,
        concerns: Callable[[bytes], bool],
        on_change: Callable[[], None],
        *,
        groups: int = 0,
        memberships: tuple[int, ...] = (),
    ) -> None:
        self._protocol = protocol
        self._concerns = concerns
        self._on_change = on_change
        self._groups = groups
        self._memberships = memberships
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        receiver = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, self._protocol)
        receiver.bind((0, self._groups))
        for membership in self._memberships:
            receiver.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, membership)
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
            data = self._socket.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:  # ENOBUFS: the kernel had more to say than we had room for
            self._on_change()
            return
        if self._concerns(data):
            self._on_change()
