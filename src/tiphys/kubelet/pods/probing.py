"""The probes of one pod under way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tiphys.api.types.core_v1 import Pod, Probe
from tiphys.base.logging import get_logger
from tiphys.kubelet.lifecycle.events import Event, ProbeKind
from tiphys.kubelet.lifecycle.instructions import StartProbe, StopProbes
from tiphys.kubelet.lifecycle.state import AnyContainer
from tiphys.kubelet.pods.services import NodeServices
from tiphys.kubelet.probes.ask import ask
from tiphys.kubelet.probes.prober import ProbeRun
from tiphys.kubelet.spec.names import key_of

_logger = get_logger(__name__)


def probe_of(container: AnyContainer, kind: ProbeKind) -> Probe | None:
    if kind is ProbeKind.STARTUP:
        return container.startup_probe
    return container.liveness_probe if kind is ProbeKind.LIVENESS else container.readiness_probe


class Probing:
    """A task a probe, from StartProbe to StopProbes."""

    def __init__(
        self,
        node: NodeServices,
        handle: Callable[[Event], None],
        say: Callable[[str, str, str, str], None],
        pod: Callable[[], Pod],
        pod_ips: Callable[[], tuple[str, ...]],
    ) -> None:
        self._node = node
        self._handle = handle
        self._say = say
        self._pod = pod
        self._pod_ips = pod_ips
        self._tasks: dict[tuple[str, ProbeKind], asyncio.Task[None]] = {}

    def start(self, container: AnyContainer, order: StartProbe) -> None:
        probe = probe_of(container, order.kind)
        if probe is None:
            return
        self._cancel(order.name, order.kind)

        async def question() -> tuple[bool, str]:
            ips = self._pod_ips()
            return await ask(probe, container, order.id, ips[0] if ips else "127.0.0.1", self._node.runtime)

        run = ProbeRun(
            order.name,
            order.id,
            order.kind,
            probe,
            ask=question,
            report=self._handle,
            complain=lambda text: self._say("Warning", "Unhealthy", text, order.name),
            clock=self._node.clock,
            started_at=self._node.clock.now(),
        )
        name = f"{key_of(self._pod())}/{order.name}/{order.kind.value}"
        task = asyncio.get_running_loop().create_task(run.run(), name=name)
        task.add_done_callback(_log_failure)
        self._tasks[order.name, order.kind] = task

    def stop(self, order: StopProbes) -> None:
        for kind in order.kinds:
            self._cancel(order.name, kind)

    def close(self) -> None:
        for name, kind in list(self._tasks):
            self._cancel(name, kind)

    def _cancel(self, name: str, kind: ProbeKind) -> None:
        task = self._tasks.pop((name, kind), None)
        # A probe whose own report led here ends by itself.
        if task is not None and task is not _current():
            task.cancel()


def _current() -> asyncio.Task[object] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        _logger.error("probe failed to run", task=task.get_name(), error=repr(task.exception()))
