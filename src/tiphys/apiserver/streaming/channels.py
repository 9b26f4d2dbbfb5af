"""Kubernetes' channels over WebSocket: a byte before each message says which stream it belongs to."""

from __future__ import annotations

import base64
import binascii
from typing import Final

STDIN: Final = 0
STDOUT: Final = 1
STDERR: Final = 2
ERROR: Final = 3
RESIZE: Final = 4
CLOSE: Final = 255  # v5: the next byte names a channel the sender is done with

V5: Final = "v5.channel.k8s.io"
# In the apiserver's order of preference; "" is the oldest form, without a name.
REMOTE_COMMAND: Final = (
    V5,
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "channel.k8s.io",
    "base64.channel.k8s.io",
    "",
)
PORT_FORWARD: Final = ("v4.channel.k8s.io", "v4.base64.channel.k8s.io")


class Channels:
    """How one subprotocol writes channels: binary, or base64 with the channel as a digit."""

    __slots__ = ("base64", "has_status", "protocol")

    def __init__(self, protocol: str) -> None:
        self.protocol = protocol
        self.base64 = "base64" in protocol
        # From v4 on the error channel carries a Status, success included; before, a text in case of failure.
        self.has_status = protocol.startswith(("v4.", "v5."))

    def encode(self, channel: int, data: bytes) -> bytes | str:
        """One message."""
        if self.base64:
            return f"{channel}{base64.b64encode(data).decode('ascii')}"
        return bytes((channel,)) + data

    def decode(self, message: bytes | str) -> tuple[int, bytes]:
        """(channel, data); (-1, b"") for what is neither."""
        if not message:
            return -1, b""
        raw = message.encode("utf-8", "replace") if isinstance(message, str) else message
        if not self.base64:
            return raw[0], raw[1:]
        try:
            return raw[0] - ord("0"), base64.b64decode(raw[1:])
        except binascii.Error:
            return -1, b""
