"""The node agent: wires a node's parts together and runs them.

API ──informers──> PodManager ──events──> PodWorker/PodLifecycle ──instructions──> runtime, volumes, probes
 ^                                             ^                                        │
 └── StatusManager, NodeReporter, NodeLease    └──────────── Pleg, outcomes ────────────┘
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from tiphys.api.types.core_v1 import Node, Pod, Service
from tiphys.base.backoff import Backoff
from tiphys.base.clock import Clock, SystemClock
from tiphys.base.logging import get_logger
from tiphys.base.tasks import Supervisor
from tiphys.client.client import Client
from tiphys.client.events import EventRecorder
from tiphys.client.informer import Informer
from tiphys.cri.errors import CriError
from tiphys.cri.runtime import Runtime
from tiphys.cri.types import DnsConfig
from tiphys.kubelet.cgroups import Cgroups
from tiphys.kubelet.config import KubeletConfig
from tiphys.kubelet.image_gc import ImageCollector
from tiphys.kubelet.images import ImageManager
from tiphys.kubelet.lifecycle.events import Adopted
from tiphys.kubelet.local_path import LocalPathAgent
from tiphys.kubelet.logs.rotation import rotate_if_full
from tiphys.kubelet.node.description import allocatable
from tiphys.kubelet.node.facts import HostFacts, read_host
from tiphys.kubelet.node.lease import NodeLease
from tiphys.kubelet.node.reporter import NodeReporter
from tiphys.kubelet.pleg import Pleg
from tiphys.kubelet.pods.housekeeping import Housekeeping, disk_of
from tiphys.kubelet.pods.manager import PodManager
from tiphys.kubelet.pods.recovery import found_pods
from tiphys.kubelet.pods.services import NodeServices, Recorder
from tiphys.kubelet.pods.static import StaticPods
from tiphys.kubelet.pods.status_manager import StatusManager
from tiphys.kubelet.server.authorization import NodeAuthorizer
from tiphys.kubelet.server.server import NodeServer
from tiphys.kubelet.spec.dns import parse_resolv_conf
from tiphys.kubelet.spec.downward import NodeFacts
from tiphys.kubelet.spec.names import log_folder
from tiphys.kubelet.volumes.manager import VolumeManager
from tiphys.kubelet.volumes.node_storage import NodeStorage

LOG_CHECK_SECONDS: Final = 10.0
TOKEN_CHECK_SECONDS: Final = 60.0
PLEG_STALE_SECONDS: Final = 180.0
SYSTEMD_RESOLV_CONF: Final = Path("/run/systemd/resolve/resolv.conf")
_logger = get_logger(__name__)


class Pods(Protocol):
    """Where a kubelet hears of its pods: an informer of those assigned to it, or a share of one."""

    def add_handler(
        self,
        *,
        on_add: Callable[[Pod], None] | None = None,
        on_update: Callable[[Pod, Pod], None] | None = None,
        on_delete: Callable[[Pod], None] | None = None,
    ) -> None: ...

    async def run(self) -> None: ...

    async def wait_synced(self) -> None: ...


class Kubelet:
    """One node's agent. `run` until cancelled: pods outlive it, and the next one takes them over."""

    def __init__(
        self,
        client: Client,
        runtime: Runtime,
        config: KubeletConfig,
        *,
        clock: Clock | None = None,
        facts: HostFacts | None = None,
        pods: Pods | None = None,
        services: Informer[Service] | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        """`facts` make the node's capacity up; `pods` and `services` share informers between hollow nodes."""
        self._client = client
        self._runtime = runtime
        self._config = config
        self._clock = clock or SystemClock()
        self._facts = facts
        self._shared_pods = pods
        self._shared_services = services
        self._owns_recorder = recorder is None
        self._recorder: Recorder = recorder or EventRecorder(client, "kubelet", config.node_name)
        self.pods: PodManager | None = None
        """The node's pods, once `run` has begun."""
        self.port = 0
        """Where the node server listens; 0 without one."""

    def _make_informers(self) -> None:
        client, name = self._client, self._config.node_name
        self._pod_source: Pods = self._shared_pods or Informer(client, Pod, field_selector=f"spec.nodeName={name}")
        self._services: Informer[Service] = self._shared_services or Informer(client, Service)
        self._network = asyncio.Event()
        self._nodes = Informer(client, Node, field_selector=f"metadata.name={name}")

    async def run(self) -> None:
        """Until cancelled. After a failure it may be run again: nothing of the run before is left."""
        config = self._config
        self._make_informers()
        facts = self._facts or read_host(config)
        statuses = StatusManager(self._client, self._clock)
        storage = NodeStorage(
            self._client,
            config,
            self._clock,
            node=lambda: self._nodes.get(config.node_name),
            on_change=self._volumes_may_mount,
            tell=lambda obj, type_, reason, message: self._recorder.event(obj, type_, reason, message),
        )
        storage.share_mounts()
        volumes = VolumeManager(
            self._client,
            config.pods_dir,
            self._clock,
            facts=lambda pod: self._node_facts(pod, self._ips_of(pod), facts),
            on_change=self._objects_changed,
            mounts=config.mount_volumes,
            persistent=storage.volumes,
            tokens=storage.tokens,
        )
        pleg: list[Pleg] = []
        node = self._make_services(facts, statuses, volumes, lambda: pleg[0].act())
        static = self._make_static()
        self.pods = PodManager(node, lambda: self._nodes.get(config.node_name), static)
        pleg.append(Pleg(self._runtime, self._clock, self.pods))
        server = self._make_server(self.pods, pleg[0])
        try:
            async with Supervisor(f"kubelet-{config.node_name}") as supervisor:
                await self._run(supervisor, facts, self.pods, pleg[0], server, static, storage)
        finally:
            await self.pods.close()
            await statuses.close()
            await volumes.close()
            if server is not None:
                await server.close()
            if self._owns_recorder and isinstance(self._recorder, EventRecorder):
                await self._recorder.close(1.0)

    async def _run(
        self,
        supervisor: Supervisor,
        facts: HostFacts,
        pods: PodManager,
        pleg: Pleg,
        server: NodeServer | None,
        static: StaticPods | None,
        storage: NodeStorage,
    ) -> None:
        config = self._config
        reporter = NodeReporter(
            self._client,
            self._runtime,
            config,
            facts,
            self._clock,
            problem=lambda: self._pleg_problem(pleg),
            measure=self._facts is None,
            network=self._network,
            volumes=storage.in_use,
        )
        if server is not None:
            self.port = await server.start()
        pods.recovered(await self._recover())
        supervisor.spawn(pleg.run, "pleg")
        if static is not None:
            # They need no API: on a control plane's node, they are it.
            supervisor.spawn(lambda: static.run(pods), "static pods")
        node = await reporter.register()
        lease = NodeLease(
            self._client,
            node,
            self._clock,
            duration_seconds=config.lease_seconds,
            renew_seconds=config.lease_renew_seconds,
        )
        supervisor.spawn(lease.run, "lease")
        supervisor.spawn(reporter.run, "node status")
        self._nodes.add_handler(on_update=storage.node_changed)
        self._nodes.add_handler(on_update=lambda _, node: reporter.seen(node))
        supervisor.spawn(self._nodes.run, "node")
        storage.start(supervisor)
        if self._shared_services is None:
            supervisor.spawn(self._services.run, "services")
        # Environments name every Service there is, admission looks at the node: both are known before any pod starts.
        await self._services.wait_synced()
        await self._nodes.wait_synced()
        if static is not None:
            static.poke()
        self._pod_source.add_handler(on_add=pods.added, on_update=pods.changed, on_delete=pods.removed)
        supervisor.spawn(self._pod_source.run, "pods")
        await self._pod_source.wait_synced()
        await pods.remove_orphans()
        storage.keep(supervisor, pods.remove_leftovers)
        supervisor.spawn(lambda: self._rotate_logs(pods), "log rotation")
        supervisor.spawn(lambda: self._renew_tokens(pods), "tokens")
        if config.local_path_dir is not None:
            agent = LocalPathAgent(
                self._client, config.node_name, config.local_path_dir, self._recorder, clock=self._clock
            )
            supervisor.spawn(agent.run, "local-path")
        if self._facts is None:
            collector = self._make_collector(pods)
            supervisor.spawn(collector.run, "image collection")
            supervisor.spawn(Housekeeping(pods, reporter, collector, config, self._clock).run, "housekeeping")
        _logger.info("kubelet runs", node=config.node_name, port=self.port)
        await supervisor.wait()

    def _make_services(
        self, facts: HostFacts, statuses: StatusManager, volumes: VolumeManager, acted: Callable[[], None]
    ) -> NodeServices:
        config = self._config
        return NodeServices(
            config=config,
            client=self._client,
            runtime=self._runtime,
            clock=self._clock,
            volumes=volumes,
            images=ImageManager(
                self._runtime,
                lambda pod, name: volumes.get_object(pod, "Secret", name),
                parallel_pulls=config.parallel_pulls,
                monotonic=self._clock.monotonic,
            ),
            cgroups=Cgroups(config.cgroup_root) if config.cgroup_root else None,
            statuses=statuses,
            recorder=self._recorder,
            start_slots=asyncio.Semaphore(config.parallel_starts),
            removal_slots=asyncio.Semaphore(2),
            services=self._services.list,
            node_dns=self._node_dns,
            node_facts=lambda pod, ips: self._node_facts(pod, ips, facts),
            memory_capacity_bytes=facts.memory_bytes,
            network=self._network,
            acted=acted,
        )

    def _make_collector(self, pods: PodManager) -> ImageCollector:
        config = self._config

        def tell(reason: str, message: str) -> None:
            node = self._nodes.get(config.node_name)
            if node is not None:
                self._recorder.event(node, "Warning", reason, message)

        return ImageCollector(
            self._runtime,
            self._clock,
            config.image_gc,
            disk=lambda: disk_of(config.data_dir),
            tell=tell,
            removed=pods.node.images.forget,
            protected=config.protected_images,
        )

    def _make_static(self) -> StaticPods | None:
        config = self._config
        if config.static_pod_dir is None:
            return None
        return StaticPods(
            self._client,
            config.static_pod_dir,
            config.node_name,
            lambda: self._nodes.get(config.node_name),
            self._clock,
        )

    def _make_server(self, pods: PodManager, pleg: Pleg) -> NodeServer | None:
        config = self._config
        if config.server_tls is None:
            return None
        authorizer = NodeAuthorizer(self._client, config.node_name, config.server_identities, self._clock)
        return NodeServer(
            self._runtime, config, pods, authorizer, self._clock, healthy=lambda: self._pleg_problem(pleg)
        )

    def _pleg_problem(self, pleg: Pleg) -> str:
        silent = self._clock.monotonic() - pleg.last_relist
        return (
            f"PLEG is not healthy: pleg was last seen active {silent:.0f}s ago" if silent > PLEG_STALE_SECONDS else ""
        )

    def _objects_changed(self, uids: frozenset[str]) -> None:
        if self.pods is not None:
            self.pods.objects_changed(uids)

    def _volumes_may_mount(self) -> None:
        if self.pods is not None:
            self.pods.volumes_may_mount()

    def _ips_of(self, pod: Pod) -> tuple[str, ...]:
        worker = self.pods.get(pod.metadata.uid or "") if self.pods is not None else None
        return worker.pod_ips if worker is not None else ()

    def _node_facts(self, pod: Pod, ips: tuple[str, ...], facts: HostFacts) -> NodeFacts:
        return NodeFacts(self._config.node_ip, ips, allocatable(self._config, facts))

    def _node_dns(self) -> DnsConfig:
        try:
            found = parse_resolv_conf(self._config.resolv_conf.read_text())
            if found.servers and all(s.startswith("127.") or s == "::1" for s in found.servers):
                # A stub resolver on the node's loopback is out of pods' reach; systemd keeps the real list beside it.
                found = parse_resolv_conf(SYSTEMD_RESOLV_CONF.read_text())
        except OSError:
            return DnsConfig()
        return found

    async def _recover(self) -> dict[str, Adopted]:
        backoff = Backoff(0.1, 2.0, 5.0)
        while True:
            try:
                return await found_pods(self._runtime)
            except CriError as error:
                _logger.info("the runtime does not answer yet", error=str(error))
            await self._clock.sleep(backoff.next_seconds())

    async def _rotate_logs(self, pods: PodManager) -> None:
        config = self._config
        while True:
            await self._clock.sleep(LOG_CHECK_SECONDS)
            for worker in pods.all():
                folder = Path(config.logs_dir) / log_folder(worker.pod)
                for container in list(worker.lifecycle.state.containers.values()):
                    if not (container.alive and container.id):
                        continue
                    with contextlib.suppress(CriError, OSError):
                        await rotate_if_full(
                            folder / container.name / f"{container.attempt}.log",
                            max_bytes=config.log_max_bytes,
                            max_files=config.log_max_files,
                            now=self._clock.now(),
                            reopen=lambda id=container.id: self._runtime.reopen_container_log(id),  # type: ignore[misc]
                        )

    async def _renew_tokens(self, pods: PodManager) -> None:
        while True:
            await self._clock.sleep(TOKEN_CHECK_SECONDS)
            pods.renew_tokens(self._clock.now())
