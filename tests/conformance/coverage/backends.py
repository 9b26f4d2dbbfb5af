"""Something to proxy to: a server on loopback that repeats what it is asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

ADDRESS: Final = "127.0.0.1"


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


@contextmanager
def repeating_server() -> Iterator[int]:
    """The port of a server that answers every request with its method and path."""
    server = ThreadingHTTPServer((ADDRESS, 0), _Repeating)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="repeating")
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
