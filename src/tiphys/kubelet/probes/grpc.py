"""The gRPC health checking protocol: grpc.health.v1.Health/Check, spoken without generated code."""

from __future__ import annotations

from typing import Final

METHOD: Final = "/grpc.health.v1.Health/Check"
_STATUS: Final = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}


async def check(host: str, port: int, service: str, timeout_seconds: float) -> tuple[bool, str]:
    """(serving, what was answered)."""
    # Few pods use it, and the library is large: it is loaded when the first one does.
    import grpc
    import grpc.aio

    shown = f"[{host}]" if ":" in host else host
    options = [("grpc.primary_user_agent", "kube-probe/1.36"), ("grpc.enable_http_proxy", 0)]
    async with grpc.aio.insecure_channel(f"{shown}:{port}", options=options) as channel:
        call = channel.unary_unary(
            METHOD,
            request_serializer=lambda raw: raw,
            response_deserializer=lambda raw: raw,
        )
        try:
            answer: bytes = await call(_request(service), timeout=timeout_seconds)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                return False, "this server does not implement the grpc health protocol (grpc.health.v1.Health): " + (
                    error.details() or ""
                )
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                return False, f"timeout: health rpc did not complete within {timeout_seconds:g}s: {error.details()}"
            return False, f"error: health rpc probe failed: {error.details()}"
    status = _STATUS.get(_status(answer), "UNKNOWN")
    if status == "SERVING":
        return True, "service healthy"
    return False, f'service unhealthy (responded with "{status}")'


def _request(service: str) -> bytes:
    name = service.encode()
    if not name:
        return b""
    return b"\x0a" + _varint(len(name)) + name


def _varint(number: int) -> bytes:
    result = bytearray()
    while number > 0x7F:
        result.append(number & 0x7F | 0x80)
        number >>= 7
    result.append(number)
    return bytes(result)


def _status(message: bytes) -> int:
    """Field 1 of HealthCheckResponse."""
    return message[1] if len(message) >= 2 and message[0] == 0x08 else 0
