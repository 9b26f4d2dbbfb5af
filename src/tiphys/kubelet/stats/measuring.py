"""One look at everything: a snapshot of use, a second old at most."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tiphys.api.types.core_v1 import Pod
from tiphys.base.clock import Clock
from tiphys.cri.runtime import Runtime
from tiphys.cri.types import ContainerStats
from tiphys.kubelet.cgroups import Cgroups
from tiphys.kubelet.config import KubeletConfig
from tiphys.kubelet.spec.names import CONTAINER_NAME, POD_NAME, POD_NAMESPACE, POD_UID
from tiphys.kubelet.stats import host_usage
from tiphys.kubelet.stats.cgroup_usage import GroupUsage, first_process, group_usage
from tiphys.kubelet.stats.host_usage import Interface
from tiphys.kubelet.stats.rates import Rates

#: Several that ask at once, or one after another, are told the same.
FRESH_SECONDS: Final = 1.0
_NODE: Final = "node"


@dataclass(frozen=True, slots=True)
class PodFacts:
    """What the kubelet knows of a pod that is measured. `started` are containers' start times, as the API has them."""

    pod: Pod
    uid: str
    started: dict[str, str] = field(default_factory=dict)
    volumes: dict[str, Path] = field(default_factory=dict)
    logs: Path | None = None


@dataclass(frozen=True, slots=True)
class ContainerUse:
    name: str
    stats: ContainerStats
    nano_cores: int | None
    started: str


@dataclass(frozen=True, slots=True)
class PodUse:
    """`group` is the pod's cgroup, sandbox included; without cgroups the sum of its containers."""

    facts: PodFacts | None
    uid: str
    name: str
    namespace: str
    containers: tuple[ContainerUse, ...]
    group: GroupUsage
    nano_cores: int | None
    interfaces: tuple[Interface, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`time` in seconds since the epoch."""

    time: float
    cpu_nanoseconds: int
    nano_cores: int | None
    memory: dict[str, int]
    pods: tuple[PodUse, ...]
    all_pods: GroupUsage | None


class Measurer:
    """`pods` tells what runs here; without `cgroups` pods' use is their containers'."""

    def __init__(
        self,
        runtime: Runtime,
        config: KubeletConfig,
        cgroups: Cgroups | None,
        clock: Clock,
        pods: Callable[[], Iterable[PodFacts]],
    ) -> None:
        self._runtime = runtime
        self._config = config
        self._cgroups = cgroups
        self._clock = clock
        self._pods = pods
        self._rates = Rates()
        self._kept: Snapshot | None = None
        self._kept_at = float("-inf")
        self._looking = asyncio.Lock()

    async def snapshot(self) -> Snapshot:
        """Use now. Raises CriError."""
        async with self._looking:
            now = self._clock.monotonic()
            if self._kept is None or now - self._kept_at >= FRESH_SECONDS:
                self._kept = await self._look()
                self._kept_at = now
            return self._kept

    async def _look(self) -> Snapshot:
        # Of containers that ended the runtime knows no use, and no time either.
        stats = [s for s in await self._runtime.list_container_stats() if s.cpu_usage_nanoseconds is not None]
        facts = {one.uid: one for one in self._pods()}
        by_pod: dict[str, list[ContainerStats]] = {}
        for one in stats:
            if uid := one.labels.get(POD_UID):
                by_pod.setdefault(uid, []).append(one)
        time = self._clock.now()
        seen: set[Hashable] = {_NODE}
        pods = tuple(
            self._pod(uid, containers, facts.get(uid), time, seen) for uid, containers in sorted(by_pod.items())
        )
        cpu = host_usage.cpu_nanoseconds()
        node_rate = self._rates.nano_cores(_NODE, time, cpu)
        self._rates.keep_only(seen)
        return Snapshot(time, cpu, node_rate, host_usage.memory(), pods, self._all_pods())

    def _pod(
        self, uid: str, stats: list[ContainerStats], facts: PodFacts | None, time: float, seen: set[Hashable]
    ) -> PodUse:
        containers = []
        for one in stats:
            seen.add(one.id)
            name = one.labels.get(CONTAINER_NAME, one.name)
            rate = self._rates.nano_cores(one.id, one.timestamp_nanoseconds / 1e9, one.cpu_usage_nanoseconds or 0)
            started = facts.started.get(name, "") if facts is not None else ""
            containers.append(ContainerUse(name, one, rate, started))
        group, process = _sum(stats), None
        if facts is not None and self._cgroups is not None:
            path, unified = self._cgroups.path(facts.pod), self._cgroups.unified
            group = group_usage(self._cgroups.mount, path, unified=unified) or group
            if not facts.pod.spec.host_network:
                process = first_process(self._cgroups.mount, path, unified=unified)
        seen.add(("pod", uid))
        rate = self._rates.nano_cores(("pod", uid), time, group.cpu_nanoseconds or 0)
        labels = stats[0].labels
        links = tuple(host_usage.interfaces(process)) if process is not None else ()
        name, namespace = labels.get(POD_NAME, ""), labels.get(POD_NAMESPACE, "")
        return PodUse(facts, uid, name, namespace, tuple(containers), group, rate, links)

    def _all_pods(self) -> GroupUsage | None:
        if self._cgroups is None:
            return None
        return group_usage(self._cgroups.mount, self._config.cgroup_root, unified=self._cgroups.unified)


def _sum(stats: list[ContainerStats]) -> GroupUsage:
    def total(values: Iterable[int | None]) -> int:
        return sum(value for value in values if value is not None)

    return GroupUsage(
        cpu_nanoseconds=total(s.cpu_usage_nanoseconds for s in stats),
        memory_bytes=total(s.memory_usage_bytes for s in stats),
        working_set_bytes=total(s.memory_working_set_bytes for s in stats),
        rss_bytes=total(s.memory_rss_bytes for s in stats),
        page_faults=total(s.memory_page_faults for s in stats),
        major_page_faults=total(s.memory_major_page_faults for s in stats),
    )
