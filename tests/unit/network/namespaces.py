"""Network namespaces for tests with real packets: each is a thread of its own, gone when the thread is."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@contextlib.contextmanager
def own_network() -> Iterator[None]:
    """This thread, and the processes it starts, in an empty network namespace; back in the old one afterwards."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    _check(_libc.unshare(CLONE_NEWNET))
    try:
        run("ip link set lo up")
        yield
    finally:
        _check(_libc.setns(before, CLONE_NEWNET))
        os.close(before)


def run(command: str) -> str:
    """A command in this thread's namespace."""
    done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


class Namespace:
    """Another machine: ``call`` runs a function in it."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._sockets: list[socket.socket] = []
        self.id = self.call(self._enter)

    @staticmethod
    def _enter() -> int:
        _check(_libc.unshare(CLONE_NEWNET))
        run("ip link set lo up")
        return threading.get_native_id()

    def call(self, function: Callable[[], T]) -> T:
        return self._thread.submit(function).result(timeout=20)

    def join(self, link: str, bridge: str, address: str, gateway: str) -> None:
        """Connect it to a bridge of the caller's namespace."""
        run(f"ip link add {link} type veth peer name eth0 netns {self.id}")
        if bridge:
            run(f"ip link set {link} master {bridge}")
            run(f"bridge link set dev {link} hairpin on")
        run(f"ip link set {link} up")

        def configure() -> None:
            run(f"ip addr add {address} dev eth0")
            run("ip link set eth0 up")
            run(f"ip route add default via {gateway}")

        self.call(configure)

    def serve(self, port: int, name: str, kind: int = socket.SOCK_STREAM) -> None:
        """Answer whoever comes with ``name`` and the client's address."""

        def listen() -> socket.socket:
            server = socket.socket(socket.AF_INET, kind)
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(("0.0.0.0", port))
            if kind == socket.SOCK_STREAM:
                server.listen(64)
            return server

        server = self.call(listen)
        self._sockets.append(server)

        def answer() -> None:
            with contextlib.suppress(OSError):
                while True:
                    if kind == socket.SOCK_STREAM:
                        connection, client = server.accept()
                        with connection:
                            connection.sendall(f"{name} {client[0]}".encode())
                    else:
                        _, client = server.recvfrom(100)
                        if client is None:  # shut down
                            return
                        server.sendto(f"{name} {client[0]}".encode(), client)

        threading.Thread(target=answer, daemon=True).start()

    def ask(self, address: str, port: int) -> str:
        """What a TCP server says to us: ``name our-address``; ``refused`` or ``silent`` when it does not."""
        return self.call(lambda: ask(address, port))

    def close(self) -> None:
        for server in self._sockets:
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            server.close()
        self._thread.shutdown()


def ask(address: str, port: int, timeout_seconds: float = 1.0) -> str:
    try:
        with socket.create_connection((address, port), timeout=timeout_seconds) as connection:
            return connection.recv(200).decode()
    except ConnectionRefusedError:
        return "refused"
    except TimeoutError:
        return "silent"
