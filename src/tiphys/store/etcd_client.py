"""Calls to an etcd cluster: several endpoints, one used at a time, the next when it fails."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

# Before gRPC is imported, as in tiphys.cri: no process of ours goes on after a fork with the parent's channels.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import grpc
import grpc.aio

from tiphys.store import etcd_wire as wire
from tiphys.store.backend import StoreError, Unavailable

CALL_SECONDS: Final = 3.0
"""How long one call to one endpoint may take: an election takes about one second."""
# etcd ends connections that ping more often than every 5 s.
_OPTIONS: Final = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.enable_http_proxy", 0),
    # Channels of two stores in one process must not share what one of them closes.
    ("grpc.use_local_subchannel_pool", 1),
)
# A member cut off from the others ends its watches instead of keeping them silent.
_NEEDS_LEADER: Final = (("hasleader", "true"),)


class EtcdUnavailable(Unavailable):
    """No endpoint answered in time; whether a write happened is not known."""


class EtcdRefused(StoreError):
    """etcd answered that it will not: the request is too large, its space is used up, its history is gone."""


@dataclass(frozen=True, slots=True)
class EtcdTls:
    """PEM: the authority of the servers, and who the client is."""

    ca: bytes
    certificate: bytes = b""
    key: bytes = b""


class EtcdClient:
    """``await client.range(...)``; every method raises EtcdUnavailable or EtcdRefused."""

    def __init__(self, endpoints: Sequence[str], tls: EtcdTls | None = None) -> None:
        if not endpoints:
            raise ValueError("etcd needs one endpoint at least")
        self.endpoints = tuple(endpoints)
        self._tls = tls
        self._current = 0
        self._channels: list[grpc.aio.Channel] = []
        self._calls: list[dict[str, Any]] = []

    def start(self) -> None:
        """Make the channels; they connect on first use."""
        for endpoint in self.endpoints:
            channel = self._channel(endpoint)
            self._channels.append(channel)
            self._calls.append(
                {
                    name: channel.unary_unary(
                        path,
                        request_serializer=lambda message: message.SerializeToString(),
                        response_deserializer=wire.MESSAGE[response].FromString,
                    )
                    for name, (path, _, response) in wire.METHODS.items()
                }
            )

    async def close(self) -> None:
        """End all calls and connections. Idempotent."""
        channels, self._channels, self._calls = self._channels, [], []
        for channel in channels:
            await channel.close(grace=None)

    @property
    def endpoint(self) -> str:
        """The endpoint in use."""
        return self.endpoints[self._current]

    def next_endpoint(self, failed: int) -> None:
        """Use another endpoint, unless somebody has turned away from the failed one already."""
        if self._current == failed:
            self._current = (failed + 1) % len(self.endpoints)

    async def call(self, method: str, fields: Mapping[str, Any]) -> Any:
        """One call to the endpoint in use; on failure the next call goes to another. No retry: the caller knows why."""
        used = self._current
        request = wire.MESSAGE[wire.METHODS[method][1]](**fields)
        try:
            return await self._calls[used][method](request, timeout=CALL_SECONDS, metadata=_NEEDS_LEADER)
        except grpc.aio.AioRpcError as error:
            raise self._failed(error, used) from None
        except (IndexError, grpc.aio.UsageError):
            raise EtcdUnavailable("the connection to etcd is closed") from None
        except asyncio.CancelledError:
            # Closing a channel cancels its calls, and so whoever waits for them.
            if self._channels or _is_cancelled():
                raise
            raise EtcdUnavailable("the connection to etcd was closed") from None

    async def read(self, **fields: Any) -> Any:
        """A linearizable range; each endpoint is tried, so that one member's death is not seen."""
        return await self.anywhere("range", fields)

    async def anywhere(self, method: str, fields: Mapping[str, Any]) -> Any:
        """A call that may be repeated: each endpoint is tried twice."""
        last: EtcdUnavailable | None = None
        for _ in range(2 * len(self.endpoints)):
            try:
                return await self.call(method, fields)
            except EtcdUnavailable as error:
                last = error
        assert last is not None
        raise last

    async def compact(self, revision: int) -> None:
        """Forget history up to `revision`; that it is forgotten already is no error."""
        try:
            await self.anywhere("compact", {"revision": revision})
        except EtcdRefused as error:
            if "compacted" not in str(error):
                raise

    @asynccontextmanager
    async def watch(self, start_revision: int, *, key: bytes, range_end: bytes, previous: bool) -> AsyncIterator[Watch]:
        """A stream of events from `start_revision` on; leaving the context ends it."""
        used = self._current
        path, _, response = wire.WATCH
        try:
            opened: Any = self._channels[used].stream_stream(
                path,
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=wire.MESSAGE[response].FromString,
            )
            stream = opened(metadata=_NEEDS_LEADER)
        except (IndexError, grpc.aio.UsageError):
            raise EtcdUnavailable("the connection to etcd is closed") from None
        try:
            create = wire.MESSAGE["WatchCreateRequest"](
                key=key, range_end=range_end, start_revision=start_revision, prev_kv=previous
            )
            try:
                async with asyncio.timeout(CALL_SECONDS):
                    await stream.write(wire.MESSAGE["WatchRequest"](create_request=create))
            except TimeoutError:
                self.next_endpoint(used)
                raise EtcdUnavailable(f"etcd at {self.endpoints[used]} takes no watch") from None
            yield Watch(stream, self, used)
        except grpc.aio.AioRpcError as error:
            raise self._failed(error, used) from None
        finally:
            stream.cancel()

    def _channel(self, endpoint: str) -> grpc.aio.Channel:
        scheme, _, address = endpoint.rpartition("://")
        if scheme == "https":
            tls = self._tls or EtcdTls(b"")
            credentials = grpc.ssl_channel_credentials(tls.ca or None, tls.key or None, tls.certificate or None)
            return grpc.aio.secure_channel(address.rstrip("/"), credentials, options=_OPTIONS)
        return grpc.aio.insecure_channel(address.rstrip("/"), options=_OPTIONS)

    def _failed(self, error: grpc.aio.AioRpcError, used: int) -> StoreError:
        code, details = error.code(), error.details() or ""
        if code in _REFUSALS:
            return EtcdRefused(details or code.name)
        self.next_endpoint(used)
        return EtcdUnavailable(f"etcd at {self.endpoints[used]}: {details or code.name}")


_END: Final = getattr(grpc.aio, "EOF")  # noqa: B009 (the stubs do not know it)
_REFUSALS: Final = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)


class Watch:
    """One open watch."""

    def __init__(self, stream: Any, client: EtcdClient, used: int) -> None:
        self._stream = stream
        self._client = client
        self._used = used
        self._was_cut = False

    def cut(self) -> None:
        """End the stream: whoever waits in `next` gets EtcdUnavailable."""
        self._was_cut = True
        self._stream.cancel()

    async def next(self) -> Any:
        """The next WatchResponse; raises EtcdUnavailable when the stream ends."""
        try:
            answer = await self._stream.read()
        except grpc.aio.AioRpcError as error:
            raise self._client._failed(error, self._used) from None
        except asyncio.CancelledError:
            # Cancelling a stream cancels its reader as well; the reader may be cancelled at the same time.
            if not self._was_cut or _is_cancelled():
                raise
            self._client.next_endpoint(self._used)
            raise EtcdUnavailable(f"etcd at {self._client.endpoints[self._used]} tells nothing new") from None
        if answer is _END:
            self._client.next_endpoint(self._used)
            raise EtcdUnavailable(f"etcd at {self._client.endpoints[self._used]} ended the watch")
        return answer


def _is_cancelled() -> bool:
    """Whether somebody wants the current task to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
