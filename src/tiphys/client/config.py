"""How to reach an apiserver and as whom."""

from __future__ import annotations

import os
import ssl
import tempfile
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """An apiserver's address and the credentials for it. PEM data is bytes; a token is sent as a bearer token.

    `server` is ``https://host:port`` (or http). `token_file` wins over `token` and is read again every minute,
    because bound tokens rotate. `namespace` is the kubeconfig context's default.
    """

    server: str
    ca_data: bytes = b""
    client_cert_data: bytes = b""
    client_key_data: bytes = field(default=b"", repr=False)
    token: str = field(default="", repr=False)
    token_file: Path | None = None
    insecure_skip_tls_verify: bool = False
    tls_server_name: str = ""
    namespace: str = "default"

    def tls_context(self) -> ssl.SSLContext | None:
        """The TLS settings of connections; None for plain http. Raises ssl.SSLError for PEM that does not parse."""
        if not self.server.startswith("https://"):
            return None
        context = ssl.create_default_context(cadata=self.ca_data.decode() or None)
        # Certificates that clusters make for themselves often lack the key identifiers that strict mode asks for.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.insecure_skip_tls_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.client_cert_data:
            _load_chain(context, self.client_cert_data, self.client_key_data)
        return context

    def bearer_token(self) -> str:
        """The token to send, or an empty string; a token file's content wins."""
        return self.token_file.read_text().strip() if self.token_file else self.token


def _load_chain(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    # The ssl module reads key pairs from files only: ours lives for this call, readable by its owner alone.
    descriptor, name = tempfile.mkstemp(prefix="tiphys-client-")
    path = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(certificate + b"\n" + key)
        context.load_cert_chain(path)
    finally:
        path.unlink()
