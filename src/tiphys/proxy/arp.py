"""Answers ARP for addresses that no link has, in the way a host does for its own.

The kernel's filter passes only questions for these addresses, so that the process sleeps through all others. That the
addresses are on no link keeps the node's own servers off them; packets to them meet the proxy's rules alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import socket
import struct
from collections.abc import Collection, Iterable
from typing import Final

ETHERTYPE: Final = 0x0806
SO_ATTACH_FILTER: Final = 26
SIOCGIFADDR: Final = 0x8915
REQUEST, REPLY = 1, 2
BROADCAST: Final = b"\xff" * 6
# Classic BPF: load half word, load word (absolute), jump if equal, return.
_LOAD_HALF, _LOAD, _JUMP_EQUAL, _RETURN = 0x28, 0x20, 0x15, 0x06
_OPERATION_OFFSET, _TARGET_OFFSET = 20, 38
FRAME_BYTES: Final = 42


def frame(operation: int, mac: bytes, address: str, to_mac: bytes, to_address: str) -> bytes:
    """An Ethernet frame that says ``address`` is at ``mac``."""
    head = struct.pack("!6s6sHHHBBH", to_mac, mac, ETHERTYPE, 1, 0x0800, 6, 4, operation)
    target = b"\0" * 6 if operation == REQUEST else to_mac
    return head + mac + socket.inet_aton(address) + target + socket.inet_aton(to_address)


def announcements(mac: bytes, address: str) -> list[bytes]:
    """What makes everybody on the link believe it at once: hosts differ in which of the two they heed."""
    return [frame(operation, mac, address, BROADCAST, address) for operation in (REQUEST, REPLY)]


def question(data: bytes) -> tuple[bytes, str, str] | None:
    """Who asks (MAC, address) for which address; None for anything but a request."""
    if len(data) < FRAME_BYTES or struct.unpack_from("!HH", data, 12)[0] != ETHERTYPE:
        return None
    if struct.unpack_from("!H", data, _OPERATION_OFFSET)[0] != REQUEST:
        return None
    return data[22:28], socket.inet_ntoa(data[28:32]), socket.inet_ntoa(data[_TARGET_OFFSET : _TARGET_OFFSET + 4])


def program(addresses: Iterable[str]) -> list[tuple[int, int, int, int]]:
    """The kernel's filter: requests for these addresses pass, everything else is dropped."""
    steps = [(_LOAD_HALF, 0, 0, _OPERATION_OFFSET), (_JUMP_EQUAL, 1, 0, REQUEST), (_RETURN, 0, 0, 0)]
    steps.append((_LOAD, 0, 0, _TARGET_OFFSET))
    for address in addresses:
        number = int.from_bytes(socket.inet_aton(address))
        steps += [(_JUMP_EQUAL, 0, 1, number), (_RETURN, 0, 0, 0xFFFF)]
    return [*steps, (_RETURN, 0, 0, 0)]


def link_with(address: str) -> str:
    """The name of the link that has this address. Raises OSError when none has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            with contextlib.suppress(OSError):
                answer = fcntl.ioctl(probe.fileno(), SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
                if socket.inet_ntoa(answer[20:24]) == address:
                    return name
    raise OSError(f"no link has the address {address}")


class Responder:
    """Answers on one link. Use as a context manager on a running event loop. Raises OSError."""

    def __init__(self, link: str) -> None:
        self._link = link
        self._addresses: frozenset[str] = frozenset()
        self._socket: socket.socket | None = None
        self._mac = b""

    def __enter__(self) -> Responder:
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        try:
            self._attach(opened, ())
            opened.bind((self._link, ETHERTYPE))
        except OSError:
            opened.close()
            raise
        self._mac = opened.getsockname()[4]
        self._socket = opened
        asyncio.get_running_loop().add_reader(opened.fileno(), self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def answer_for(self, addresses: Collection[str]) -> None:
        """From now on answer for exactly these."""
        assert self._socket is not None
        self._addresses = frozenset(addresses)
        self._attach(self._socket, sorted(self._addresses))

    def announce(self, address: str) -> None:
        """Tell everybody on the link that the address is here."""
        assert self._socket is not None
        for data in announcements(self._mac, address):
            self._socket.send(data)

    @staticmethod
    def _attach(opened: socket.socket, addresses: Collection[str]) -> None:
        code = b"".join(struct.pack("=HBBI", *step) for step in program(addresses))
        buffer = ctypes.create_string_buffer(code, len(code))
        opened.setsockopt(
            socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HxxxxxxQ", len(code) // 8, ctypes.addressof(buffer))
        )

    def _receive(self) -> None:
        assert self._socket is not None
        with contextlib.suppress(OSError):  # the link went down: whoever made us finds out
            asked = question(self._socket.recv(256))
            if asked is not None and asked[2] in self._addresses:
                mac, address, wanted = asked
                self._socket.send(frame(REPLY, self._mac, wanted, mac, address))
