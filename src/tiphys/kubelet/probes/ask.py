"""One question to one container, by any of the ways a probe or a hook may ask."""

from __future__ import annotations

import asyncio
from typing import Final

import httptools

from tiphys.api.types.core_v1 import HTTPGetAction, Probe, TCPSocketAction
from tiphys.cri.errors import CriCode, CriError
from tiphys.cri.runtime import Runtime
from tiphys.kubelet.lifecycle.state import AnyContainer
from tiphys.kubelet.probes import grpc, http

USER_AGENT: Final = "kube-probe/1.36"
MAX_OUTPUT_BYTES: Final = 10 * 1024


def port_number(port: int | str, container: AnyContainer) -> int:
    """A port by number or by the name one of the container's ports has. Raises ValueError."""
    if isinstance(port, str) and not port.isdigit():
        for declared in container.ports:
            if declared.name == port:
                return declared.container_port
        raise ValueError(f"couldn't find port: {port!r}")
    number = int(port)
    if not 0 < number < 65536:
        raise ValueError(f"invalid port number: {number}")
    return number


async def ask(
    probe: Probe, container: AnyContainer, container_id: str, pod_ip: str, runtime: Runtime
) -> tuple[bool, str]:
    """(healthy, what was seen), within the probe's timeout; never raises for a container that does not answer."""
    timeout_seconds = float(probe.timeout_seconds or 1)
    try:
        async with asyncio.timeout(timeout_seconds + 0.05):
            if probe.exec is not None:
                return await _exec(runtime, container_id, probe.exec.command, timeout_seconds)
            if probe.http_get is not None:
                return await http_get(probe.http_get, container, pod_ip)
            if probe.tcp_socket is not None:
                return await tcp_connect(probe.tcp_socket, container, pod_ip)
            if probe.grpc is not None:
                return await grpc.check(pod_ip, probe.grpc.port, probe.grpc.service or "", timeout_seconds)
    except TimeoutError:
        if probe.exec is not None:
            return False, f'command timed out: "{" ".join(probe.exec.command)}" timed out after {timeout_seconds:g}s'
        if probe.http_get is not None:
            url = _url(probe.http_get, container, pod_ip)
            return False, f'Get "{url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
        return False, f"dial tcp {pod_ip}: i/o timeout"
    except ValueError as error:
        return False, str(error)
    return False, "missing probe handler"


async def _exec(
    runtime: Runtime, container_id: str, command: tuple[str, ...], timeout_seconds: float
) -> tuple[bool, str]:
    try:
        result = await runtime.exec_sync(container_id, command, timeout_seconds=timeout_seconds)
    except CriError as error:
        if error.code is CriCode.DEADLINE_EXCEEDED:
            raise TimeoutError from None
        return False, f"rpc error: {error}"
    output = (result.stdout + result.stderr)[:MAX_OUTPUT_BYTES].decode(errors="replace")
    return result.exit_code == 0, output


def _url(action: HTTPGetAction, container: AnyContainer, pod_ip: str) -> str:
    host = action.host or pod_ip
    shown = f"[{host}]" if ":" in host else host
    path = action.path or "/"
    path = path if path.startswith("/") else f"/{path}"
    return f"{(action.scheme or 'HTTP').lower()}://{shown}:{port_number(action.port, container)}{path}"


async def http_get(
    action: HTTPGetAction, container: AnyContainer, pod_ip: str, user_agent: str = USER_AGENT
) -> tuple[bool, str]:
    """Healthy for every status from 200 to 399."""
    port = port_number(action.port, container)
    host = action.host or pod_ip
    try:
        answer = await http.get(
            action.scheme or "HTTP", host, port, action.path or "/", action.http_headers, user_agent
        )
    except TimeoutError:
        raise
    except (OSError, httptools.HttpParserError) as error:
        return False, f'Get "{_url(action, container, pod_ip)}": {_dial_error(error, host, port)}'
    if 200 <= answer.status < 400:
        return True, answer.body.decode(errors="replace")
    return False, f"HTTP probe failed with statuscode: {answer.status}"


async def tcp_connect(action: TCPSocketAction, container: AnyContainer, pod_ip: str) -> tuple[bool, str]:
    """Healthy when a connection can be made."""
    port = port_number(action.port, container)
    host = action.host or pod_ip
    try:
        _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        raise
    except OSError as error:
        return False, _dial_error(error, host, port)
    writer.transport.abort()
    return True, ""


def _dial_error(error: Exception, host: str, port: int) -> str:
    if isinstance(error, ConnectionRefusedError):
        return f"dial tcp {host}:{port}: connect: connection refused"
    if isinstance(error, ConnectionResetError):
        return f"read tcp {host}:{port}: connection reset by peer"
    return f"dial tcp {host}:{port}: {error}"
