"""A webhook on loopback for tests: HTTPS with a certificate that the cluster's authority signed."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.conformance.api.running import RunningServer

Review = dict[str, Any]


class Webhook:
    """A running webhook: what a configuration's clientConfig says of it, and the reviews it was sent."""

    def __init__(self, server: RunningServer, answer: Callable[[Review], Review]) -> None:
        pki = server.config.pki_dir
        self.reviews: list[Review] = []
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                webhook.reviews.append(review)
                text = json.dumps(answer(review)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                """Quietly."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(pki / "apiserver.crt", pki / "apiserver.key")
        self._http.socket = tls.wrap_socket(self._http.socket, server_side=True)
        self._thread = threading.Thread(target=self._http.serve_forever, name="webhook")
        self._thread.start()
        bundle = base64.b64encode((pki / "ca.crt").read_bytes()).decode()
        self.client_config = {"url": f"https://127.0.0.1:{self._http.server_port}/hook", "caBundle": bundle}

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(10)


@contextmanager
def webhook(server: RunningServer, answer: Callable[[Review], Review]) -> Iterator[Webhook]:
    """A webhook that gives these answers while the block runs."""
    running = Webhook(server, answer)
    try:
        yield running
    finally:
        running.close()


def conversion(convert: Callable[[dict[str, Any], str], dict[str, Any]]) -> Callable[[Review], Review]:
    """Answers ConversionReviews by `convert`, which is given an object and the apiVersion that is wanted."""

    def answer(review: Review) -> Review:
        request = review["request"]
        wanted = request["desiredAPIVersion"]
        objects = [{**convert(obj, wanted), "apiVersion": wanted} for obj in request["objects"]]
        response = {"uid": request["uid"], "result": {"status": "Success"}, "convertedObjects": objects}
        return {"apiVersion": review["apiVersion"], "kind": "ConversionReview", "response": response}

    return answer
