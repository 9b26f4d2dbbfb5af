"""exec and attach: a WebSocket client's channels as the streams of a SPDY session with the kubelet.

client  channel 0 stdin, 4 resize, 255 close  ->  streams stdin, resize   kubelet
        channel 1 stdout, 2 stderr, 3 error   <-  streams stdout, stderr, error
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import msgspec

from tiphys.api.types.meta_v1 import Status
from tiphys.apiserver.streaming.channels import CLOSE, ERROR, RESIZE, STDERR, STDIN, STDOUT, V5, Channels
from tiphys.base.http.messages import Query, RawConnection
from tiphys.base.http.spdy import SpdySession, SpdyStream
from tiphys.base.http.spdy_frames import SpdyError
from tiphys.base.http.websocket import WebSocket
from tiphys.base.logging import get_logger

log = get_logger(__name__)

# What is asked of the kubelet; the client's own subprotocol does not matter to it.
SPDY_PROTOCOLS: Final = ("v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io")
_SUCCESS: Final = b'{"metadata":{},"status":"Success"}'
_CUT: Final = (
    b'{"metadata":{},"status":"Failure","message":"the connection to the container ended early",'
    b'"reason":"InternalError","code":500}'
)
_FLAG_CHANNELS: Final = (("input", "stdin", STDIN), ("output", "stdout", STDOUT), ("error", "stderr", STDERR))


async def translate(client: RawConnection, kubelet: RawConnection, protocol: str, parameters: Query) -> None:
    """Run until the command has ended or the client is gone; closes both. `parameters` are those of the kubelet's
    target (input, output, error, tty)."""
    socket = WebSocket(client)
    session = SpdySession(kubelet)
    running = asyncio.ensure_future(session.run())
    try:
        await _Translation(socket, session, Channels(protocol), parameters).run()
    except (ConnectionError, SpdyError) as error:
        log.debug("exec connection ended", error=str(error))
    finally:
        kubelet.close()
        client.close()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


class _Translation:
    def __init__(self, socket: WebSocket, session: SpdySession, channels: Channels, parameters: Query) -> None:
        self._socket = socket
        self._channels = channels
        self._error = session.open_stream({"streamType": "error"})
        streams: dict[int, SpdyStream] = {}
        tty = parameters.get("tty") == "1"
        for flag, name, channel in _FLAG_CHANNELS:
            if parameters.get(flag) == "1" and not (tty and channel == STDERR):
                streams[channel] = session.open_stream({"streamType": name})
        if tty:
            streams[RESIZE] = session.open_stream({"streamType": "resize"})
        self._streams: Mapping[int, SpdyStream] = streams

    async def run(self) -> None:
        input_ = asyncio.ensure_future(self._from_client())
        output = asyncio.ensure_future(self._to_client())
        try:
            await asyncio.wait((input_, output), return_when=asyncio.FIRST_COMPLETED)
            if not output.done():
                return  # the client is gone
            input_.cancel()
            await asyncio.gather(input_, return_exceptions=True)
            message = output.result()
            if message:
                self._socket.send(self._channels.encode(ERROR, message))
            await self._socket.finish()
        finally:
            for task in (input_, output):
                task.cancel()
            await asyncio.gather(input_, output, return_exceptions=True)

    async def _from_client(self) -> None:
        while (message := await self._socket.receive()) is not None:
            channel, data = self._channels.decode(message)
            if channel == CLOSE and self._channels.protocol == V5:
                stream = self._streams.get(data[0]) if data else None
                if stream is not None:
                    stream.close()
                continue
            stream = self._streams.get(channel)
            if stream is not None and channel in (STDIN, RESIZE) and data:
                stream.write(data)
                await stream.drain()

    async def _to_client(self) -> bytes:
        """Pass the output on until it ends; returns what goes to the error channel."""
        outputs = [
            asyncio.ensure_future(self._copy(channel, stream))
            for channel, stream in self._streams.items()
            if channel in (STDOUT, STDERR)
        ]
        try:
            status = await self._error.read_all()
            await asyncio.gather(*outputs)
        finally:
            for task in outputs:
                task.cancel()
            await asyncio.gather(*outputs, return_exceptions=True)
        if self._error.was_reset and not status:
            status = _CUT
        if self._channels.has_status:
            return status or _SUCCESS
        return _text_of(status)

    async def _copy(self, channel: int, stream: SpdyStream) -> None:
        while data := await stream.read():
            self._socket.send(self._channels.encode(channel, data))
            await self._socket.drain()


def _text_of(status: bytes) -> bytes:
    """The message of a failure for subprotocols that know no Status; b"" for success."""
    if not status:
        return b""
    try:
        found = msgspec.json.decode(status, type=Status)
    except msgspec.DecodeError:
        return status
    return b"" if found.status == "Success" else (found.message or "").encode()
