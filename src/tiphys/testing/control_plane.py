"""A control plane in one process: a real apiserver on the memory backend, clients that call it, pretended pods."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec

from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import Pod, PodCondition, PodIP
from tiphys.apiserver.config import ApiServerConfig
from tiphys.apiserver.server import ApiServer
from tiphys.base.clock import Clock, SystemClock, rfc3339
from tiphys.base.http.messages import PeerIdentity
from tiphys.client import Client, Informer, InProcessTransport
from tiphys.controllers.node_affinity import pinned_to
from tiphys.store.memory import MemoryBackend

ADMIN = PeerIdentity("admin", ("system:masters",))


@dataclass(slots=True)
class ControlPlane:
    """A running apiserver and an administrator's client of it."""

    server: ApiServer
    client: Client
    clock: Clock = field(default_factory=SystemClock)

    def client_as(self, user: str, *groups: str) -> Client:
        """A client that acts as a component: ``client_as("system:kube-scheduler")``."""
        return Client(InProcessTransport(self.server.handler, PeerIdentity(user, groups)), clock=self.clock)


@asynccontextmanager
async def control_plane(
    config: ApiServerConfig | None = None, *, clock: Clock | None = None
) -> AsyncIterator[ControlPlane]:
    """A control plane with an empty store, closed when the block is left."""
    time = clock or SystemClock()
    server = ApiServer(config or ApiServerConfig(), MemoryBackend(clock=time), clock=time)
    await server.start()
    try:
        yield ControlPlane(server, Client(InProcessTransport(server.handler, ADMIN), clock=time), time)
    finally:
        await server.close()


class PretendKubelet:
    """Lets every pod with a node become Running and Ready at once, and deleted ones go. `node` binds the others.

    `decide` may keep a pod from running: it returns the phase to report, or an empty string to leave the pod alone.
    """

    def __init__(
        self,
        client: Client,
        *,
        node: str = "node-1",
        decide: Callable[[Pod], str] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.started = 0
        self._client = client
        self.node = node
        self._clock = clock or SystemClock()
        self._decide = decide or (lambda pod: "Running")
        self._busy: set[asyncio.Task[None]] = set()
        self.pods: Informer[Pod] = Informer(client, Pod, clock=clock)
        self.pods.add_handler(on_add=self._look, on_update=lambda _, new: self._look(new))

    async def run(self) -> None:
        """Act until cancelled."""
        try:
            await self.pods.run()
        finally:
            for task in self._busy:
                task.cancel()

    def _look(self, pod: Pod) -> None:
        if pod.metadata.deletion_timestamp is not None or not pod.spec.node_name or pod.status.phase == "Pending":
            task = asyncio.ensure_future(self._act(pod))
            self._busy.add(task)
            task.add_done_callback(self._busy.discard)

    async def _act(self, pod: Pod) -> None:
        name, namespace, uid = pod.metadata.name or "", pod.metadata.namespace or "", pod.metadata.uid or ""
        try:
            if pod.metadata.deletion_timestamp is not None:
                await self._client.delete(Pod, name, namespace, uid=uid, grace_period_seconds=0)
            elif not pod.spec.node_name:
                await self._client.bind(namespace, name, uid, pinned_to(pod.spec) or self.node)
            else:
                phase = self._decide(pod)
                if phase:
                    await self._client.update_status(self._reported(pod, phase))
        except (ApiError, OSError) as error:
            if isinstance(error, ApiError) and error.code in (404, 409):
                return
            await self._clock.sleep(0.05)
            self._look(self.pods.get(name, namespace) or pod)

    def _reported(self, pod: Pod, phase: str) -> Pod:
        self.started += 1
        moment = rfc3339(self._clock.now())
        ready = PodCondition(
            type="Ready", status="True" if phase == "Running" else "False", last_transition_time=moment
        )
        address = f"10.244.{self.started // 250}.{self.started % 250 + 1}"
        reported = msgspec.structs.replace(
            pod.status,
            phase=phase,
            conditions=(*(c for c in pod.status.conditions if c.type != "Ready"), ready),
            pod_ip=address,
            pod_ips=(PodIP(ip=address),),
            start_time=moment,
        )
        return msgspec.structs.replace(pod, status=reported)


async def eventually(check: Callable[[], bool], *, seconds: float = 10.0) -> None:
    """Return once `check()` holds; AssertionError if it does not within `seconds` of real time."""
    try:
        async with asyncio.timeout(seconds):
            while not check():  # noqa: ASYNC110 (whoever makes it true does not know of us)
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError("it never came true") from None
