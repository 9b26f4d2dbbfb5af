"""Something to proxy to: a server on this machine's own address that repeats what it is asked."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Repeating(BaseHTTPRequestHandler):
    def _answer(self) -> None:
        body = f"{self.command} {self.path}".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_OPTIONS = do_POST = do_PUT = do_PATCH = do_DELETE = _answer

    def log_message(self, format: str, *args: object) -> None:
        pass


def own_address() -> str:
    """An IPv4 address of this machine that is not loopback's, which no proxy leads to; "" if there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return ""
        found = str(probe.getsockname()[0])
    return "" if found.startswith("127.") else found


@contextmanager
def repeating_server(address: str) -> Iterator[int]:
    """The port of a server that answers every request with its method and path."""
    server = ThreadingHTTPServer((address, 0), _Repeating)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="repeating")
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
