"""How to reach an apiserver and as whom."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path

from tiphys.base.http.tls import client_context


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """An apiserver's address and the credentials for it. PEM data is bytes; a token is sent as a bearer token.

    `server` is ``https://host:port`` (or http). `token_file` wins over `token` and is read again every minute,
    because bound tokens rotate. `client_identity_file` is where certificate and key came from, if that is one file: it
    is looked at again, because certificates rotate too. `namespace` is the kubeconfig context's default.
    """

    server: str
    ca_data: bytes = b""
    client_cert_data: bytes = b""
    client_key_data: bytes = field(default=b"", repr=False)
    client_identity_file: Path | None = None
    token: str = field(default="", repr=False)
    token_file: Path | None = None
    insecure_skip_tls_verify: bool = False
    tls_server_name: str = ""
    namespace: str = "default"

    def tls_context(self) -> ssl.SSLContext | None:
        """The TLS settings of connections; None for plain http. Raises ssl.SSLError for PEM that does not parse."""
        if not self.server.startswith("https://"):
            return None
        return client_context(
            ca=self.ca_data,
            certificate=self.client_cert_data,
            key=self.client_key_data,
            verify=not self.insecure_skip_tls_verify,
        )

    def bearer_token(self) -> str:
        """The token to send, or an empty string; a token file's content wins."""
        return self.token_file.read_text().strip() if self.token_file else self.token
