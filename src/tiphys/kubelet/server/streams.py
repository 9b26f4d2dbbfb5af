"""exec, attach and port-forward: the upgraded connection is relayed byte for byte to the runtime's streaming server."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from tiphys.base.http.client import HttpClient, UpgradeRefused
from tiphys.base.http.messages import HeaderList, RawConnection, Request, Response, UpgradeResponse
from tiphys.base.http.raw import relay
from tiphys.cri.errors import CriCode, CriError
from tiphys.cri.runtime import Runtime
from tiphys.kubelet.server.answers import Refused

_NOT_PASSED: Final = frozenset({b"host", b"authorization", b"content-length", b"x-forwarded-for"})
_NOT_RETURNED: Final = frozenset({b"connection", b"upgrade", b"date", b"content-length", b"transfer-encoding"})


def wants(request: Request, *names: str) -> bool:
    """Whether a stream is asked for, by any of its query names (the kubelet's and the API's)."""
    return any(request.query.get(name).lower() in ("1", "true") for name in names)


async def exec_url(runtime: Runtime, request: Request, container_id: str) -> str:
    """Raises Refused."""
    command = request.query.get_all("command")
    if not command:
        raise Refused(400, "you must specify at least 1 command to execute")
    tty, stdin, stdout, stderr = _streams(request)
    return await _asked(runtime.exec_url(container_id, command, tty=tty, stdin=stdin, stdout=stdout, stderr=stderr))


async def attach_url(runtime: Runtime, request: Request, container_id: str) -> str:
    """Raises Refused."""
    tty, stdin, stdout, stderr = _streams(request)
    return await _asked(runtime.attach_url(container_id, tty=tty, stdin=stdin, stdout=stdout, stderr=stderr))


async def port_forward_url(runtime: Runtime, request: Request, sandbox_id: str) -> str:
    """Raises Refused."""
    named = (*request.query.get_all("port"), *request.query.get_all("ports"))
    texts = [text for value in named for text in value.split(",") if text]
    if not all(text.isdigit() and 0 < int(text) < 65536 for text in texts):
        raise Refused(400, f"invalid port: {','.join(texts)}")
    return await _asked(runtime.port_forward_url(sandbox_id, [int(text) for text in texts]))


def _streams(request: Request) -> tuple[bool, bool, bool, bool]:
    """(tty, stdin, stdout, stderr); raises Refused unless there is one to speak of."""
    tty = wants(request, "tty")
    stdin, stdout = wants(request, "input", "stdin"), wants(request, "output", "stdout")
    stderr = wants(request, "error", "stderr") and not tty
    if not (stdin or stdout or stderr):
        raise Refused(400, "you must specify at least 1 of stdin, stdout, stderr")
    return tty, stdin, stdout, stderr


async def _asked(url: object) -> str:
    try:
        return await url  # type: ignore[misc, no-any-return]
    except CriError as error:
        status = 404 if error.code is CriCode.NOT_FOUND else 500
        raise Refused(status, str(error)) from None


async def upgraded(request: Request, url: str) -> Response:
    """Make the same upgrade with the runtime, answer as it did, and relay. Its refusals are passed on."""
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    if b"upgrade" not in request.headers:
        raise Refused(400, "Upgrade request required")
    client = HttpClient(f"{parts.scheme}://{parts.netloc}")
    try:
        runtime = await client.upgrade(request.method, target, _passed(request))
    except UpgradeRefused as refusal:
        answer = refusal.response
        kind = answer.headers.get(b"content-type", b"text/plain").decode("latin-1")
        return Response(answer.status, answer.body, kind)
    except OSError as error:
        raise Refused(502, f"the runtime's streaming server does not answer: {error}") from None
    protocol = runtime.headers.get(b"upgrade", b"SPDY/3.1")
    headers = tuple((name, value) for name, value in runtime.headers if name not in _NOT_RETURNED)

    async def take_over(connection: RawConnection) -> None:
        await relay(connection, runtime)

    return UpgradeResponse(protocol, take_over, headers)


def _passed(request: Request) -> HeaderList:
    return tuple((name, value) for name, value in request.headers if name not in _NOT_PASSED)
