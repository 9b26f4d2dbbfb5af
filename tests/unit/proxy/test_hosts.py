"""Services on three hosts with real packets: every node leads to every pod, one answers for a balancer."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.network.hosts import Host, node
from tests.unit.network.namespaces import ask, own_network, run
from tests.unit.network.test_routes import eventually
from tiphys.api.codec import from_dict
from tiphys.api.types.core_v1 import Service
from tiphys.api.types.discovery_v1 import EndpointSlice
from tiphys.proxy.config import ProxyConfig
from tiphys.proxy.proxier import Proxier

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("nft") is None, reason="needs root and nft"),
]
ADDRESS = "172.20.0.200"


class Served(Host):
    """A host with a proxy."""

    async def _start(self) -> None:
        await super()._start()
        await self.begin_proxy()

    async def begin_proxy(self) -> None:
        config = ProxyConfig(
            cluster_id=self.config.cluster_id, node_name=self.name, cluster_cidr="10.244.0.0/16",
            service_cidr="10.96.0.0/12", node_ip=self.address, load_balancer_cidr="172.20.0.192/27",
        )  # fmt: skip
        self.proxier = Proxier(self.plane.client, config)
        self._proxy = asyncio.get_running_loop().create_task(self.proxier.run())

    async def end_proxy(self) -> None:
        self._proxy.cancel()
        await asyncio.gather(self._proxy, return_exceptions=True)

    async def _publish(self, service: dict[str, Any], slices: list[dict[str, Any]]) -> None:
        client = self.plane.client
        for old in (await client.list(EndpointSlice, "default")).items:
            if old.metadata.name != "kubernetes":
                await client.delete(EndpointSlice, old.metadata.name or "", "default")
        if "web" in {s.metadata.name for s in (await client.list(Service, "default")).items}:
            await client.delete(Service, "web", "default")
        await client.create(from_dict(Service, {"metadata": {"name": "web", "namespace": "default"}, **service}))
        if "status" in service:
            await client.patch(Service, "web", "default", {"status": service["status"]}, type="merge",
                               subresource="status")  # fmt: skip
        for slice_ in slices:
            await client.create(from_dict(EndpointSlice, slice_))

    def publish(self, service: dict[str, Any], slices: list[dict[str, Any]]) -> None:
        self.do(self._publish(service, slices))

    def close(self) -> None:
        self.do(self.end_proxy())
        super().close()


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Served]]:
    with own_network():
        run("ip link add under type bridge")
        run("ip addr add 172.20.0.1/24 dev under")
        run("ip link set under up")
        made = [Served(n, tmp_path_factory.mktemp("hosts")) for n in (2, 3, 4)]
        started = []
        try:
            for host in made:
                host.start("under")
                started.append(host)
            for host in made:
                host.learn(*(node(h.name, h.pod_cidr, h.address) for h in made))
            eventually(lambda: made[0].pod.ask(made[1].pod_address, 8080).startswith("pod"))
            yield made
        finally:
            for host in started:
                host.close()


def service(**spec: Any) -> dict[str, Any]:
    ports = [{"name": "http", "port": 80, "targetPort": 8080, "nodePort": 30080}]
    wire = {"spec": {"clusterIP": "10.96.0.7", "type": "LoadBalancer", "ports": ports, **spec}}
    return {**wire, "status": {"loadBalancer": {"ingress": [{"ip": ADDRESS, "ipMode": "VIP"}]}}}


def slices(*hosts: Host) -> list[dict[str, Any]]:
    return [
        {
            "metadata": {"name": "web-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": "IPv4",
            "endpoints": [
                {"addresses": [h.pod_address], "nodeName": h.name, "conditions": {"ready": True}} for h in hosts
            ],
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        }
    ]


def publish(hosts: list[Served], wanted: dict[str, Any], *where: Host) -> None:
    for host in hosts:
        host.publish(wanted, slices(*where))
    for host in hosts:
        host.do(host.proxier.synced.wait())


def test_every_way_in_leads_to_a_pod_of_another_host(hosts: list[Served]) -> None:
    a, b, c = hosts
    publish(hosts, service(), b)
    eventually(lambda: a.pod.ask("10.96.0.7", 80) == f"pod-{b.name} {a.pod_address}")  # with the pod's own address
    eventually(lambda: b.pod.ask("10.96.0.7", 80) == f"pod-{b.name} 10.244.{b.number}.1")  # its own Service
    assert c.ask("10.96.0.7", 80).startswith(f"pod-{b.name} 10.244.{c.number}.")  # a node itself
    for host in hosts:
        assert ask(host.address, 30080).startswith(f"pod-{b.name} ")
        assert a.pod.ask(host.address, 30080).startswith(f"pod-{b.name} ")
    eventually(lambda: ask(ADDRESS, 80).startswith(f"pod-{b.name} "))
    assert c.pod.ask(ADDRESS, 80).startswith(f"pod-{b.name} ")
    assert ask(ADDRESS, 81) == "refused"


def test_local_policies_keep_traffic_and_addresses_where_they_are(hosts: list[Served]) -> None:
    a, b, c = hosts
    publish(hosts, service(externalTrafficPolicy="Local", internalTrafficPolicy="Local"), b)
    eventually(lambda: ask(b.address, 30080) == f"pod-{b.name} 172.20.0.1")
    assert ask(a.address, 30080) == "silent"
    eventually(lambda: ask(ADDRESS, 80) == f"pod-{b.name} 172.20.0.1")  # the node with the endpoint answers
    assert a.pod.ask("10.96.0.7", 80) == "silent"
    eventually(lambda: b.pod.ask("10.96.0.7", 80).startswith("pod"))
    # Its endpoint moves, and the address with it.
    publish(hosts, service(externalTrafficPolicy="Local"), c)
    eventually(lambda: ask(ADDRESS, 80) == f"pod-{c.name} 172.20.0.1")


def holders(hosts: list[Served]) -> list[Served]:
    return [h for h in hosts if h.proxier._announcer and ADDRESS in h.proxier._announcer.held]


def test_the_address_moves_when_its_node_is_silent_and_returns(hosts: list[Served]) -> None:
    publish(hosts, service(), *hosts)
    eventually(lambda: len(holders(hosts)) == 1)
    [first] = holders(hosts)
    eventually(lambda: ask(ADDRESS, 80).startswith("pod"))
    first.do(first.end_proxy())
    eventually(lambda: holders([h for h in hosts if h is not first]) != [], timeout_seconds=5)
    eventually(lambda: ask(ADDRESS, 80).startswith("pod"), timeout_seconds=3)
    first.do(first.begin_proxy())
    eventually(lambda: holders(hosts) == [first])
    eventually(lambda: ask(ADDRESS, 80).startswith("pod"))
