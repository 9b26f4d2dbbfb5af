"""A running server for tests of the API: the apiserver over HTTPS on loopback, on SQLite, in a thread of its own.

Folders beside this one have it by importing the fixtures into their conftest::

    from tests.conformance.api.fixtures import server as server  # api_client, raw, kubectl, namespace, controlled, …
"""

from __future__ import annotations

import asyncio
import http.client
import json
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import kubernetes
import uvloop
from kubernetes.client import ApiClient

from tests.e2e.cluster import BIN, free_port
from tiphys.apiserver.server import ApiServer
from tiphys.base.tasks import Supervisor
from tiphys.client import kubeconfig
from tiphys.client.client import Client
from tiphys.cmd.apiserver import server_config
from tiphys.cmd.config import ClusterConfig
from tiphys.cmd.controllers import controller_manager
from tiphys.cmd.prepare import prepare
from tiphys.store.sqlite import SqliteBackend

T = TypeVar("T")
_START_SECONDS = 60
_CALL_SECONDS = 30


@dataclass(frozen=True)
class Answer:
    """What a request was answered. `headers` have lower-case names; `warnings` are all Warning headers."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    warnings: tuple[str, ...] = ()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def reason(self) -> str:
        """The Status's reason; "" of other answers."""
        return str(self.json.get("reason", ""))

    @property
    def message(self) -> str:
        return str(self.json.get("message", ""))


class RunningServer:
    """`start` returns once it serves; `close` ends it. With `controllers`, the controller manager runs beside it."""

    def __init__(self, data_dir: Path, *, controllers: bool = False) -> None:
        self.config = ClusterConfig(
            data_dir=str(data_dir),
            node_name="conformance",
            node_ip="127.0.0.1",
            secure_port=free_port(),
            kubelet_port=free_port(),
        )
        self.url = self.config.server
        self.kubeconfig = self.config.admin_kubeconfig
        self._controllers = controllers
        self._thread = threading.Thread(target=self._run, name="apiserver")
        self._ready: Future[None] = Future()
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._idle: list[http.client.HTTPSConnection] = []

    def start(self) -> None:
        prepare(self.config)
        self._thread.start()
        self._ready.result(_START_SECONDS)
        self.tls = ssl.create_default_context(cafile=str(self.config.pki_dir / "ca.crt"))
        identity = self.config.pki_dir / "clients" / "admin"
        self.tls.load_cert_chain(identity.with_suffix(".crt"), identity.with_suffix(".key"))

    def close(self) -> None:
        for connection in self._idle:
            connection.close()
        self._idle.clear()
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_START_SECONDS)
        assert not self._thread.is_alive(), "the apiserver does not end"

    def call(self, make: Callable[[ApiServer], Awaitable[T]]) -> T:
        """Await something in the server's own loop: for what no client can bring about."""
        assert self._loop is not None

        async def made() -> T:
            return await make(self.server)

        return asyncio.run_coroutine_threadsafe(made(), self._loop).result(_CALL_SECONDS)

    def compact(self) -> None:
        """Make the store forget all revisions but the newest, as it does by itself after minutes."""
        self.call(lambda _: self.backend.compact(self.backend.revision))

    def raw(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        timeout_seconds: float = _CALL_SECONDS,
    ) -> Answer:
        """One request as the admin. `body`: bytes as they are, text as UTF-8, else as JSON."""
        data, given = _sent(body, headers)
        connection = self._idle.pop() if self._idle else self.connection(timeout_seconds)
        try:
            connection.request(method, path, data, given)
            response = connection.getresponse()
            payload = response.read()
        except (http.client.HTTPException, OSError):
            connection.close()
            raise
        if response.will_close:
            connection.close()
        else:
            self._idle.append(connection)
        pairs = response.getheaders()
        warnings = tuple(value for name, value in pairs if name.lower() == "warning")
        return Answer(response.status, {name.lower(): value for name, value in pairs}, payload, warnings)

    def connection(self, timeout_seconds: float = _CALL_SECONDS) -> http.client.HTTPSConnection:
        """A connection of its own, with the admin's certificate; the caller closes it."""
        return http.client.HTTPSConnection(
            "127.0.0.1", self.config.secure_port, context=self.tls, timeout=timeout_seconds
        )

    @contextmanager
    def watch(
        self, path: str, headers: Mapping[str, str] | None = None, *, timeout_seconds: float = 10
    ) -> Iterator[Stream]:
        """The events a GET of `path` streams, one JSON document a line. An Answer's fields tell how it began."""
        connection = self.connection(timeout_seconds)
        try:
            connection.request("GET", path, None, dict(headers or {}))
            yield Stream(connection.getresponse())
        finally:
            connection.close()

    def kubectl(
        self, *arguments: str, stdin: str | None = None, check: bool = True, timeout_seconds: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run stock kubectl as the admin; with `check`, a failure is an AssertionError with its words."""
        command = [str(BIN / "kubectl"), "--kubeconfig", str(self.kubeconfig), *arguments]
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=timeout_seconds, check=False
        )
        assert not check or done.returncode == 0, f"kubectl {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return done

    def api_client(self) -> ApiClient:
        """The official client as the admin; the caller closes it."""
        return kubernetes.config.new_client_from_config(str(self.kubeconfig))

    def _run(self) -> None:
        try:
            uvloop.run(self._serve())
        except BaseException as error:
            if self._ready.done():
                raise
            self._ready.set_exception(error)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self.backend = SqliteBackend(self.config.store_path)
        self.server = ApiServer(replace(server_config(self.config), bind_address="127.0.0.1"), self.backend)
        await self.server.start()
        try:
            async with Supervisor("conformance") as supervisor:
                if self._controllers:
                    supervisor.spawn(partial(_run_controllers, self.config), "controller-manager")
                self._ready.set_result(None)
                await self._stop.wait()
        finally:
            await self.server.close()


class Stream:
    """A streamed answer, read line by line."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.response = response
        self.status = response.status

    def next(self) -> Any:
        """The next event; raises TimeoutError when none comes in time, EOFError at the end."""
        line = self.response.readline()
        if not line:
            raise EOFError("the stream is over")
        return json.loads(line)

    def rest(self) -> list[Any]:
        """All events until the server ends the stream."""
        return [json.loads(line) for line in self.response.read().splitlines() if line]


@contextmanager
def running_server(*, controllers: bool = False) -> Iterator[RunningServer]:
    """A server on an empty store, gone with all it kept when the block is left."""
    with tempfile.TemporaryDirectory(prefix="tiphys-api-") as folder:
        server = RunningServer(Path(folder) / "data", controllers=controllers)
        server.start()
        try:
            yield server
        finally:
            server.close()


async def _run_controllers(config: ClusterConfig) -> None:
    client = Client.from_config(kubeconfig.load(config.kubeconfig("controller-manager")))
    try:
        await controller_manager(client, config).run()
    finally:
        await client.close()


def _sent(body: Any, headers: Mapping[str, str] | None) -> tuple[bytes | None, dict[str, str]]:
    given = {"Content-Type": "application/json", **(headers or {})} if body is not None else dict(headers or {})
    if body is None or isinstance(body, bytes):
        return body, given
    return (body.encode() if isinstance(body, str) else json.dumps(body).encode()), given
