"""Containers' ``hostPort``: ports of the node that lead to one pod, as elements of two nft maps.

What the portmap plugin does with iptables, without a process per pod. A port opens when the pod's address is known and
closes when the pod has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tiphys.api.types.core_v1 import Container, Pod
from tiphys.base import nft
from tiphys.base.backoff import Backoff
from tiphys.base.logging import get_logger
from tiphys.base.tasks import Supervisor
from tiphys.client.client import Client
from tiphys.client.informer import Informer
from tiphys.network.config import NodeNetworkConfig

FAMILY = "ip"
ANY_ADDRESS = ("", "0.0.0.0")
ENDED = ("Succeeded", "Failed")
_logger = get_logger(__name__)


class HostPort(NamedTuple):
    """Port ``port`` of the node's ``address`` ("": any of them) leads to ``pod_port`` of ``pod_address``."""

    address: str
    protocol: str
    port: int
    pod_address: str
    pod_port: int


def _containers(pod: Pod) -> Iterator[Container]:
    yield from pod.spec.containers
    yield from (c for c in pod.spec.init_containers if c.restart_policy == "Always")


def host_ports(pods: Iterable[Pod]) -> list[HostPort]:
    """The ports that pods have on their node, sorted. Where two want the same, the older pod has it."""
    found: dict[tuple[str, str, int], HostPort] = {}
    for pod in sorted(pods, key=lambda p: (p.metadata.creation_timestamp or "", p.metadata.uid or "")):
        address = pod.status.pod_ip
        if not address or ":" in address or pod.spec.host_network or pod.status.phase in ENDED:
            continue
        for container in _containers(pod):
            for port in container.ports:
                if not port.host_port or ":" in (port.host_ip or ""):
                    continue
                own = "" if (port.host_ip or "") in ANY_ADDRESS else port.host_ip or ""
                protocol = (port.protocol or "TCP").lower()
                entry = HostPort(own, protocol, port.host_port, address, port.container_port)
                found.setdefault((own, protocol, port.host_port), entry)
    return sorted(found.values())


def _elements(elements: Iterable[str]) -> str:
    listed = ", ".join(elements)
    return f"    elements = {{ {listed} }}\n" if listed else ""


def script(table: str, ports: Iterable[HostPort]) -> str:
    """Make the table as it should be, whatever was in it."""
    ports = list(ports)
    bound = [f"{p.address} . {p.protocol} . {p.port} : {p.pod_address} . {p.pod_port}" for p in ports if p.address]
    free = [f"{p.protocol} . {p.port} : {p.pod_address} . {p.pod_port}" for p in ports if not p.address]
    hairpin = sorted({f"{p.pod_address} . {p.pod_address}" for p in ports})
    return f"""\
add table {FAMILY} {table}
delete table {FAMILY} {table}
table {FAMILY} {table} {{
  map bound {{
    type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service
{_elements(bound)}  }}
  map free {{
    type inet_proto . inet_service : ipv4_addr . inet_service
{_elements(free)}  }}
  set hairpin {{
    type ipv4_addr . ipv4_addr
{_elements(hairpin)}  }}
  chain ports {{
    dnat ip addr . port to ip daddr . meta l4proto . th dport map @bound
    dnat ip addr . port to meta l4proto . th dport map @free
  }}
  chain prerouting {{
    type nat hook prerouting priority dstnat + 10; policy accept;
    fib daddr type local goto ports
  }}
  chain output {{
    type nat hook output priority -90; policy accept;
    ip daddr != 127.0.0.0/8 fib daddr type local goto ports
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ct status dnat ip saddr . ip daddr @hairpin masquerade fully-random
  }}
}}
"""


class HostPorts:
    """Keeps the node's table of host ports true. ``run`` until cancelled; the table stays then."""

    def __init__(self, client: Client, config: NodeNetworkConfig) -> None:
        self._table = config.host_ports_table
        self._pods = Informer(client, Pod, field_selector=f"spec.nodeName={config.node_name}")
        self._wake = asyncio.Event()
        self._told: list[HostPort] | None = None
        self._pods.add_handler(
            on_add=lambda _: self._wake.set(),
            on_update=lambda _, new: self._wake.set(),
            on_delete=lambda _: self._wake.set(),
        )

    async def run(self) -> None:
        async with Supervisor("host-ports") as supervisor:
            supervisor.spawn(self._pods.run, "pods")
            await self._pods.wait_synced()
            backoff = Backoff(0.1, 2.0, 30.0)
            self._told = None
            while True:
                self._wake.clear()
                wanted = host_ports(self._pods.list())
                if wanted != self._told:
                    try:
                        await self._tell(wanted)
                    except (nft.NftError, TimeoutError, OSError) as error:
                        _logger.warning("nft transaction failed", error=str(error))
                        await asyncio.sleep(backoff.next_seconds())
                        continue
                    backoff.reset()
                await self._wake.wait()

    async def _tell(self, wanted: list[HostPort]) -> None:
        # A node where no pod wants a port needs no table; most nodes are so.
        await nft.apply(script(self._table, wanted) if wanted else nft.delete_table(FAMILY, self._table))
        self._told = wanted
