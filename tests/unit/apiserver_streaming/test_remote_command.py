"""exec and attach as clients see them: WebSocket in every subprotocol, and SPDY passed through."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.unit.apiserver_streaming.kubelet import FAILED, cluster
from tests.unit.http.serving import until
from tiphys.base.http.client import HttpClient, UpgradeRefused
from tiphys.base.http.spdy import SpdySession

SUCCESS = {"metadata": {}, "status": "Success"}


@asynccontextmanager
async def websocket(port: int, target: str, *protocols: str) -> AsyncIterator[ClientConnection]:
    offered = list(protocols) or None
    async with connect(f"ws://127.0.0.1:{port}/{target}", subprotocols=offered, max_size=None) as peer:  # type: ignore[arg-type]
        yield peer


async def channels(peer: ClientConnection) -> dict[int, bytes]:
    """Everything received until the close, by channel."""
    found: dict[int, bytes] = {}
    async with asyncio.timeout(5):
        try:
            while True:
                message = await peer.recv()
                if isinstance(message, str):
                    number, data = int(message[0]), base64.b64decode(message[1:])
                else:
                    number, data = message[0], message[1:]
                found[number] = found.get(number, b"") + data
        except ConnectionClosed:
            pass
    assert peer.close_code == 1000
    return found


@pytest.mark.parametrize("protocol", ["v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io"])
async def test_output_and_success(protocol: str) -> None:
    async with (
        cluster() as (kubelet, port),
        websocket(port, "exec?stdout=true&stderr=1&command=echo&command=a%20b&command=c", protocol) as peer,
    ):
        assert peer.subprotocol == protocol
        found = await channels(peer)
        assert found.pop(1) == b"a b c"
        assert json.loads(found.pop(3)) == SUCCESS and not found
        request = kubelet.requests[0]
        assert request.raw_target == b"/exec/ns/p/c?output=1&error=1&command=echo&command=a+b&command=c"
        assert request.headers.get(b"upgrade") == b"SPDY/3.1"


async def test_failure_is_a_status_or_a_text() -> None:
    target = "exec?stdout=1&stderr=1&command=fail"
    async with cluster() as (_, port):
        async with websocket(port, target, "v5.channel.k8s.io") as peer:
            assert await channels(peer) == {2: b"oh no", 3: FAILED}
        async with websocket(port, target, "channel.k8s.io") as peer:
            assert await channels(peer) == {2: b"oh no", 3: b"exit status 3"}
        async with websocket(port, "exec?stdout=1&command=echo&command=x") as peer:
            assert await channels(peer) == {1: b"x"}


async def test_stdin_ends_with_a_close_message() -> None:
    sent = b"x" * 300_000
    async with (
        cluster() as (_, port),
        websocket(port, "exec?stdin=1&stdout=1&command=cat", "v9.nonsense", "v5.channel.k8s.io") as peer,
    ):
        for at in range(0, len(sent), 32_000):
            await peer.send(b"\0" + sent[at : at + 32_000])
        await peer.send(b"\xff\0")
        found = await channels(peer)
        assert found[1] == sent and json.loads(found[3]) == SUCCESS


async def test_a_terminal_has_resize_and_no_stderr() -> None:
    async with (
        cluster() as (kubelet, port),
        websocket(port, "attach?stdin=1&stdout=1&tty=1", "v5.channel.k8s.io") as peer,
    ):
        await peer.send(b"\x04" + b'{"Width":80,"Height":24}')
        await peer.send(b"\0hi")
        await peer.send(b"\xff\0")
        assert (await channels(peer))[1] == b"hi"
        assert kubelet.requests[0].raw_target == b"/attach/ns/p/c?input=1&output=1&tty=1"


async def test_a_client_that_goes_ends_the_command() -> None:
    async with cluster() as (kubelet, port):
        async with websocket(port, "exec?stdout=1&command=hang", "v5.channel.k8s.io"):
            await until(lambda: kubelet.sessions == 1)
        await until(lambda: kubelet.sessions == 0)


async def test_refusals() -> None:
    async with cluster() as (_, port):
        with pytest.raises(InvalidStatus) as refused:
            async with websocket(port, "exec?command=x", "v9.channel.k8s.io"):
                pass
        assert refused.value.response.status_code == 400
        with pytest.raises(InvalidStatus) as refused:
            async with websocket(port, "exec?container=missing&command=x", "v5.channel.k8s.io"):
                pass
        assert (refused.value.response.status_code, refused.value.response.body) == (404, b"container not found")
        client = HttpClient(f"http://127.0.0.1:{port}")
        answer = await client.request("GET", "/exec?command=x")
        assert (answer.status, answer.body) == (400, b"Upgrade request required")
        await client.close()


async def test_spdy_clients_talk_to_the_kubelet_themselves() -> None:
    headers = (
        (b"Connection", b"Upgrade"),
        (b"Upgrade", b"SPDY/3.1"),
        (b"X-Stream-Protocol-Version", b"v4.channel.k8s.io"),
        (b"X-Stream-Protocol-Version", b"channel.k8s.io"),
    )
    async with cluster() as (_, port):
        client = HttpClient(f"http://127.0.0.1:{port}")
        connection = await client.upgrade("POST", "/exec?stdin=1&stdout=1&command=cat", headers)
        assert connection.headers.get(b"x-stream-protocol-version") == b"v4.channel.k8s.io"
        session = SpdySession(connection)
        running = asyncio.ensure_future(session.run())
        error, stdin, stdout = (session.open_stream({"streamType": name}) for name in ("error", "stdin", "stdout"))
        stdin.write(b"both ways")
        stdin.close()
        assert await stdout.read_all() == b"both ways" and await error.read_all() == b""
        connection.close()
        await running
        with pytest.raises(UpgradeRefused):
            await client.upgrade("POST", "/exec?container=missing&command=x", headers)
        await client.close()
