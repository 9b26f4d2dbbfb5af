"""HTTP written by hand: what no well-behaved client library would send."""

from __future__ import annotations

import http.client
import io
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.conformance.api.running import Answer, RunningServer

_SECONDS = 15


class Wire:
    """One TLS connection: bytes in, answers out."""

    def __init__(self, sock: ssl.SSLSocket) -> None:
        self.sock = sock
        self._file = sock.makefile("rb")

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def answer(self, method: str = "GET") -> Answer:
        """The next answer, whatever its status (100 too)."""
        status, headers = _head(self._file)
        if status == 100:
            return Answer(100, {}, b"")
        text = b"".join(b"%b: %b\r\n" % pair for pair in headers)
        replay = io.BytesIO(b"HTTP/1.1 %d X\r\n%b\r\n" % (status, text))
        response = http.client.HTTPResponse(_Unclosed(_Chained(replay, self._file)), method=method)  # type: ignore[arg-type]
        response.begin()
        names = {name.decode().lower(): value.decode() for name, value in headers}
        return Answer(status, names, response.read())

    def ended(self) -> bool:
        """True if the server has closed the connection and nothing more came."""
        return self._file.read(1) == b""


@contextmanager
def wire(server: RunningServer, *, certificate: bool = True) -> Iterator[Wire]:
    """A connection with the admin's certificate, or with none."""
    context = ssl.create_default_context(cafile=str(server.config.pki_dir / "ca.crt"))
    if certificate:
        identity = server.config.pki_dir / "clients" / "admin"
        context.load_cert_chain(identity.with_suffix(".crt"), identity.with_suffix(".key"))
    with (
        socket.create_connection(("127.0.0.1", server.config.secure_port), _SECONDS) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
    ):
        yield Wire(secured)


def _head(file: Any) -> tuple[int, list[tuple[bytes, bytes]]]:
    line = file.readline()
    if not line:
        raise EOFError("the connection was closed without an answer")
    status = int(line.split()[1])
    headers: list[tuple[bytes, bytes]] = []
    while (line := file.readline().rstrip(b"\r\n")) != b"":
        name, _, value = line.partition(b": ")
        headers.append((name, value))
    return status, headers


class _Chained:
    """Two files read one after the other."""

    def __init__(self, first: io.BytesIO, second: Any) -> None:
        self._first, self._second = first, second

    def readline(self, limit: int = -1) -> bytes:
        return self._first.readline(limit) or bytes(self._second.readline(limit))

    def read(self, amount: int = -1) -> bytes:
        return bytes(self._second.read(amount))

    def readinto(self, buffer: Any) -> int:
        return int(self._second.readinto(buffer))

    def close(self) -> None: ...

    def flush(self) -> None: ...


class _Unclosed:
    """What http.client takes for a socket; closing it leaves the connection open."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def makefile(self, mode: str) -> Any:
        return self._file
