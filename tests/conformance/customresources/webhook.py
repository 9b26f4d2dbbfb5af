"""A conversion webhook over HTTPS, in a thread: v1's ``spec.hostPort`` "a:1" is v2's ``host`` and ``port``."""

from __future__ import annotations

import base64
import ipaddress
import json
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Document = dict[str, Any]


class Webhook:
    """Where it listens, who vouches for it, and what it was asked. `spoil` changes its answers."""

    def __init__(self, port: int, ca: bytes) -> None:
        self.url = f"https://127.0.0.1:{port}/convert"
        self.port = port
        self.ca_bundle = base64.b64encode(ca).decode()
        self.reviews: list[Document] = []
        self.spoil: Callable[[Document], Any] | None = None

    @property
    def config(self) -> Document:
        """A definition's `spec.conversion`."""
        client = {"url": self.url, "caBundle": self.ca_bundle}
        return {"strategy": "Webhook", "webhook": {"clientConfig": client, "conversionReviewVersions": ["v1"]}}

    def answer(self, review: Document) -> Document:
        self.reviews.append(review)
        request = review["request"]
        wanted = request["desiredAPIVersion"]
        converted = [convert(json.loads(json.dumps(obj)), wanted) for obj in request["objects"]]
        response = {"uid": request["uid"], "result": {"status": "Success"}, "convertedObjects": converted}
        answer = {"kind": "ConversionReview", "apiVersion": review["apiVersion"], "response": response}
        if self.spoil is not None:
            self.spoil(answer)
        return answer


def convert(obj: Document, wanted: str) -> Document:
    """As the webhook does it."""
    obj["apiVersion"] = wanted
    spec = obj.setdefault("spec", {})
    if wanted.endswith("/v2") and "hostPort" in spec:
        spec["host"], _, spec["port"] = spec.pop("hostPort").partition(":")
    elif wanted.endswith("/v1") and "host" in spec:
        spec["hostPort"] = f"{spec.pop('host')}:{spec.pop('port', '')}"
    return obj


@contextmanager
def running(*names: str) -> Iterator[Webhook]:
    """A webhook on loopback whose certificate carries 127.0.0.1 and `names`."""
    certificate, key = _identity(names)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as pem:
        pem.write(certificate + key)
        pem.flush()
        context.load_cert_chain(pem.name)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.daemon_threads = True
    server.webhook = webhook = Webhook(server.server_address[1], certificate)  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield webhook
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        data = json.dumps(self.server.webhook.answer(review)).encode()  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        return


def _identity(names: tuple[str, ...]) -> tuple[bytes, bytes]:
    """A certificate that vouches for itself, and its key: PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "webhook")])
    now = datetime.now(UTC)
    others: list[x509.GeneralName] = [x509.DNSName(one) for one in names]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1")), *others]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM), private
