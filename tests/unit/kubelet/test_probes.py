"""Probes: thresholds, timing, and each way to ask."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.unit.kubelet.player import container
from tiphys.api import codec
from tiphys.api.types.core_v1 import Container, Probe
from tiphys.cri.types import ExecResult
from tiphys.kubelet.lifecycle.events import ProbeChanged, ProbeKind
from tiphys.kubelet.probes import grpc as health
from tiphys.kubelet.probes.ask import ask, port_number
from tiphys.kubelet.probes.prober import ProbeRun, Verdict
from tiphys.testing.clock import FakeClock, settle
from tiphys.testing.fake_cri import Behaviour, FakeRuntime


def probe(**fields: Any) -> Probe:
    return codec.from_dict(Probe, fields)


def web(**fields: Any) -> Container:
    return codec.from_dict(Container, container("web", **fields))


def test_a_verdict_needs_its_threshold() -> None:
    verdict = Verdict(probe(failureThreshold=3, successThreshold=2), healthy=True)
    assert [verdict.count(x) for x in (False, False, True, False, False, False, False)] == [
        False,
        False,
        False,
        False,
        False,
        True,
        False,
    ]
    assert [verdict.count(x) for x in (True, True, True)] == [False, True, False]


class Run:
    def __init__(self, kind: ProbeKind, answers: list[bool], **fields: Any) -> None:
        self.clock = FakeClock()
        self.reported: list[ProbeChanged] = []
        self.complaints: list[str] = []
        self.asked: list[float] = []
        self._answers = answers
        run = ProbeRun(
            "web",
            "web-0",
            kind,
            probe(**fields),
            ask=self._ask,
            report=self.reported.append,
            complain=self.complaints.append,
            clock=self.clock,
            started_at=self.clock.now(),
        )
        self.begun = self.clock.monotonic()
        self.task = asyncio.create_task(run.run())

    async def _ask(self) -> tuple[bool, str]:
        self.asked.append(self.clock.monotonic() - self.begun)
        return (self._answers.pop(0) if self._answers else True), "output"

    async def pass_time(self, seconds: float) -> None:
        await settle()
        await self.clock.advance(seconds)

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def test_the_first_question_waits_for_the_initial_delay_and_others_for_the_period() -> None:
    run = Run(ProbeKind.READINESS, [], initialDelaySeconds=5, periodSeconds=10)
    await run.pass_time(30)
    assert run.asked == [5, 15, 25]
    assert [r.healthy for r in run.reported] == [True]
    await run.close()


async def test_failures_are_complained_of_and_reported_at_the_threshold() -> None:
    run = Run(ProbeKind.LIVENESS, [True, False, False, False], periodSeconds=1, failureThreshold=3)
    await run.pass_time(10)
    assert run.complaints == ["Liveness probe failed: output"] * 3
    assert [r.healthy for r in run.reported] == [True, False]
    assert run.task.done()  # the instance is condemned: it is not asked again


async def test_a_startup_probe_ends_with_its_success() -> None:
    run = Run(ProbeKind.STARTUP, [False, True], periodSeconds=1, failureThreshold=5)
    await run.pass_time(5)
    assert run.asked == [0, 1]
    assert run.task.done()


@pytest.fixture
async def server() -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionResetError):  # a connection, and nothing said
            writer.close()
            return
        path = head.split()[1]
        seen.append(head)
        status = {b"/bad": b"500 No", b"/moved": b"302 Found"}.get(path, b"200 OK")
        location = b"Location: /ok\r\n" if path == b"/moved" else b""
        writer.write(b"HTTP/1.1 " + status + b"\r\n" + location + b"Content-Length: 2\r\n\r\nhi")
        await writer.drain()
        writer.close()

    seen: list[bytes] = []
    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield listener.sockets[0].getsockname()[1]
    listener.close()
    assert all(b"User-Agent: kube-probe/1.36" in head for head in seen)


async def ask_web(question: Probe, **fields: Any) -> tuple[bool, str]:
    return await ask(question, web(**fields), "web-0", "127.0.0.1", FakeRuntime())


async def test_http(server: int) -> None:
    assert await ask_web(probe(httpGet={"port": server, "path": "/ok"})) == (True, "hi")
    assert await ask_web(probe(httpGet={"port": server, "path": "/moved"})) == (True, "hi")
    assert await ask_web(probe(httpGet={"port": server, "path": "bad"})) == (
        False,
        "HTTP probe failed with statuscode: 500",
    )
    assert await ask_web(probe(tcpSocket={"port": server})) == (True, "")
    named = await ask_web(probe(httpGet={"port": "http"}), ports=[{"name": "http", "containerPort": server}])
    assert named[0]


async def test_nobody_answers(server: int) -> None:
    closed = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port = closed.sockets[0].getsockname()[1]
    closed.close()
    await closed.wait_closed()
    healthy, said = await ask_web(probe(httpGet={"port": port}))
    assert not healthy
    assert said == f'Get "http://127.0.0.1:{port}/": dial tcp 127.0.0.1:{port}: connect: connection refused'
    assert await ask_web(probe(tcpSocket={"port": port})) == (
        False,
        f"dial tcp 127.0.0.1:{port}: connect: connection refused",
    )


async def test_exec() -> None:
    runtime = FakeRuntime(images=["img"])
    runtime.behaviours["web"] = Behaviour(exec=lambda command: ExecResult(b"said", b"", int(command[0])))
    from tiphys.cri.types import ContainerConfig, SandboxConfig

    sandbox = SandboxConfig(name="p", namespace="ns", uid="u1")
    sandbox_id = await runtime.run_sandbox(sandbox)
    id = await runtime.create_container(sandbox_id, ContainerConfig(name="web", image="img"), sandbox)
    await runtime.start_container(id)
    assert await ask(probe(exec={"command": ["0"]}), web(), id, "", runtime) == (True, "said")
    assert await ask(probe(exec={"command": ["1"]}), web(), id, "", runtime) == (False, "said")


def test_ports_by_name() -> None:
    assert port_number("8080", web()) == 8080
    assert port_number("http", web(ports=[{"name": "http", "containerPort": 80}])) == 80
    with pytest.raises(ValueError, match="couldn't find port"):
        port_number("nope", web())


async def test_grpc_health() -> None:
    import grpc
    import grpc.aio

    async def answer(request: bytes, context: Any) -> bytes:
        return b"\x08\x01" if request in (b"", b"\x0a\x02up") else b"\x08\x02"

    handler = grpc.unary_unary_rpc_method_handler(answer)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        assert (await health.check("127.0.0.1", port, "", 5))[0]
        assert (await health.check("127.0.0.1", port, "up", 5))[0]
        assert await health.check("127.0.0.1", port, "down", 5) == (
            False,
            'service unhealthy (responded with "NOT_SERVING")',
        )
    finally:
        await server.stop(None)
