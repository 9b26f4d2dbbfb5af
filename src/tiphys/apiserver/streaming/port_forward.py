"""port-forward for WebSocket clients: SPDY bytes tunnelled in messages, or the older channels per port."""

from __future__ import annotations

import asyncio
import struct
from typing import Final

from tiphys.apiserver.streaming.channels import Channels
from tiphys.base.http.messages import RawConnection
from tiphys.base.http.spdy import SpdySession, SpdyStream
from tiphys.base.http.spdy_frames import SpdyError
from tiphys.base.http.websocket import WebSocket
from tiphys.base.logging import get_logger

log = get_logger(__name__)

PROTOCOL: Final = "portforward.k8s.io"
TUNNEL: Final = f"SPDY/3.1+{PROTOCOL}"


async def tunnel(client: RawConnection, kubelet: RawConnection) -> None:
    """Messages to SPDY bytes and back until either side ends; closes both."""
    socket = WebSocket(client)
    up = asyncio.ensure_future(_unwrap(socket, kubelet))
    down = asyncio.ensure_future(_wrap(kubelet, socket))
    try:
        await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
        up.cancel()
        await asyncio.gather(up, return_exceptions=True)
        if down.done():
            await socket.finish()
    finally:
        for task in (up, down):
            task.cancel()
        await asyncio.gather(up, down, return_exceptions=True)
        kubelet.close()
        client.close()


async def _unwrap(socket: WebSocket, kubelet: RawConnection) -> None:
    while (message := await socket.receive()) is not None:
        kubelet.write(message if isinstance(message, bytes) else message.encode())
        await kubelet.drain()


async def _wrap(kubelet: RawConnection, socket: WebSocket) -> None:
    while data := await kubelet.read():
        socket.send(data)
        await socket.drain()


async def forward_channels(client: RawConnection, kubelet: RawConnection, protocol: str, ports: list[int]) -> None:
    """The older form: for the n-th port, channel 2n carries data and 2n+1 errors; each begins with a message that
    holds the port, two bytes, little-endian. Runs until all ports or the client are done; closes both."""
    socket = WebSocket(client)
    session = SpdySession(kubelet)
    running = asyncio.ensure_future(session.run())
    channels = Channels(protocol)
    tasks: list[asyncio.Future[None]] = []
    data_streams: dict[int, SpdyStream] = {}
    try:
        for number, port in enumerate(ports):
            names = {"port": str(port), "requestID": str(number)}
            error = session.open_stream({"streamType": "error", **names})
            error.close()
            data = session.open_stream({"streamType": "data", **names})
            data_streams[2 * number] = data
            for channel, stream in ((2 * number, data), (2 * number + 1, error)):
                socket.send(channels.encode(channel, struct.pack("<H", port)))
                tasks.append(asyncio.ensure_future(_copy(socket, channels, channel, stream)))
        reading = asyncio.ensure_future(_to_streams(socket, channels, data_streams))
        tasks.append(reading)
        done = asyncio.gather(*tasks[:-1])
        await asyncio.wait((reading, done), return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            await socket.finish()
    except (ConnectionError, SpdyError) as error_:
        log.debug("port-forward connection ended", error=str(error_))
    finally:
        kubelet.close()
        client.close()
        for task in (*tasks, running):
            task.cancel()
        await asyncio.gather(*tasks, running, return_exceptions=True)


async def _copy(socket: WebSocket, channels: Channels, channel: int, stream: SpdyStream) -> None:
    while data := await stream.read():
        socket.send(channels.encode(channel, data))
        await socket.drain()


async def _to_streams(socket: WebSocket, channels: Channels, streams: dict[int, SpdyStream]) -> None:
    while (message := await socket.receive()) is not None:
        channel, data = channels.decode(message)
        stream = streams.get(channel)
        if stream is not None and data:
            stream.write(data)
            await stream.drain()
