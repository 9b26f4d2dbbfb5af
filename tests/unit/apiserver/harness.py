"""A client that calls an apiserver's handler, and a writer that collects what a watch sends."""

from __future__ import annotations

import asyncio
import inspect
import json
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tiphys.apiserver.config import ApiServerConfig
from tiphys.apiserver.server import ApiServer
from tiphys.base.http.messages import Chunk, Headers, PeerIdentity, Request, Response, StreamResponse
from tiphys.store.memory import MemoryBackend
from tiphys.testing.clock import FakeClock

ADMIN = PeerIdentity("admin", ("system:masters",), "aa")
_KEY = ec.generate_private_key(ec.SECP256R1()).private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)


def make_server(**settings: Any) -> tuple[ApiServer, FakeClock]:
    clock = FakeClock()
    config = ApiServerConfig(advertise_address="10.0.0.1", service_account_signing_key=_KEY, **settings)
    return ApiServer(config, MemoryBackend(clock=clock), clock=clock), clock


class Answer:
    """A response with its JSON."""

    def __init__(self, response: Response) -> None:
        self.response = response
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.headers}
        self.warnings = [value.decode() for name, value in response.headers if name == b"Warning"]

    @property
    def body(self) -> Any:
        return json.loads(self.response.body)


class Api:
    """Requests as an administrator unless another peer is given."""

    def __init__(self, server: ApiServer, clock: FakeClock) -> None:
        self.server = server
        self.clock = clock
        self._watches: list[Watch] = []

    async def call(
        self,
        method: str,
        target: str,
        body: Any = None,
        content_type: str = "application/json",
        *,
        peer: PeerIdentity | None = ADMIN,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        answer = self.start(method, target, body, content_type, peer=peer, headers=headers)
        return Answer(await answer if inspect.isawaitable(answer) else answer)

    def start(
        self,
        method: str,
        target: str,
        body: Any = None,
        content_type: str = "application/json",
        *,
        peer: PeerIdentity | None = ADMIN,
        headers: dict[str, str] | None = None,
    ) -> Any:
        pairs = [(b"user-agent", b"test/1")]
        if body is not None:
            pairs.append((b"content-type", content_type.encode()))
        pairs += [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return self.server.handler(Request(method, target.encode(), Headers(pairs), data, peer_certificate=peer))

    async def create(self, path: str, body: Any) -> Any:
        answer = await self.call("POST", path, body)
        assert answer.status == 201, answer.response.body
        return answer.body

    async def get(self, path: str) -> Any:
        answer = await self.call("GET", path)
        assert answer.status == 200, answer.response.body
        return answer.body

    async def watch(self, target: str, *, accept: str = "application/json") -> Watch:
        answer = await self.call("GET", target, headers={"accept": accept})
        assert isinstance(answer.response, StreamResponse), answer.response.body
        watch = Watch(answer.response)
        self._watches.append(watch)
        await settle()
        return watch

    async def close(self) -> None:
        for watch in self._watches:
            await watch.stop()
        await self.server.close()


class Watch:
    """A running watch; `events` are what it was sent so far, as (type, object)."""

    coalesce = False

    def __init__(self, response: StreamResponse) -> None:
        self._data: list[bytes] = []
        self._gone = asyncio.Event()
        self._task = asyncio.ensure_future(response.run(self))

    @property
    def events(self) -> list[tuple[str, Any]]:
        lines = b"".join(self._data).splitlines()
        return [(event["type"], event["object"]) for event in map(json.loads, lines)]

    @property
    def names(self) -> list[str]:
        return [f"{kind} {obj['metadata'].get('name', '')}".strip() for kind, obj in self.events]

    def write(self, data: bytes) -> None:
        self._data.append(data)

    def write_chunk(self, chunk: Chunk) -> None:
        self._data.append(chunk.data)

    async def drain(self) -> None:
        await asyncio.sleep(0)

    async def wait_closed(self) -> None:
        await self._gone.wait()

    @property
    def closed(self) -> bool:
        return self._gone.is_set()

    @property
    def ended(self) -> bool:
        return self._task.done()

    async def stop(self) -> None:
        self._gone.set()
        await self._task


async def settle() -> None:
    """Let everything run that is ready to."""
    for _ in range(5):
        await asyncio.sleep(0)


def pod(name: str, **spec: Any) -> dict[str, Any]:
    containers = spec.pop("containers", [{"name": "c", "image": "nginx"}])
    return {"metadata": {"name": name}, "spec": {"containers": containers, **spec}}


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data}
