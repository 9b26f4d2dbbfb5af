"""What a Service is given when it is written: cluster IP, node ports, health check port."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv4Network, ip_address
from typing import Final

from tiphys.api import codec, errors, field_errors
from tiphys.api.field_errors import FieldError
from tiphys.api.strategy import services
from tiphys.api.types.core_v1 import Service, ServicePort
from tiphys.apiserver.allocators.pools import Full, OutOfRange, Pool, Taken
from tiphys.apiserver.allocators.reservations import Reservations
from tiphys.apiserver.registry.context import Write
from tiphys.apiserver.watch_cache.cache import ResourceCache
from tiphys.apiserver.watch_cache.history import CacheEvent
from tiphys.apiserver.watch_cache.objects import CachedObject

_TAKEN_IP: Final = "provided IP is already allocated"
_FOREIGN_IP: Final = "the provided network does not match the current range"
_NO_IP: Final = "range is full"
_TAKEN_PORT: Final = "provided port is already allocated"
NODE_PORTS: Final = (30000, 32767)


class ServiceAllocator:
    """Claims what Services need. Committed Services, seen through the cache, are what the pools hold for certain."""

    def __init__(
        self,
        cache: ResourceCache,
        cidr: str,
        node_ports: tuple[int, int] = NODE_PORTS,
        reservations: Reservations | None = None,
    ) -> None:
        network = IPv4Network(cidr)
        self._ips = Pool(int(network.network_address) + 1, int(network.broadcast_address) - 1)
        self._ports = Pool(*node_ports, static=min(max(16, (node_ports[1] - node_ports[0] + 1) // 32), 128))
        self._cache = cache
        self._reservations = reservations
        cache.listen(self._follow)

    def __call__(self, write: Write) -> None:
        """Claim what the written Service names or needs. Raises ApiError 422; `write.undo` gives it back."""
        if write.operation == "DELETE" or write.subresource:
            return
        service: Service = write.obj
        owner = f"{write.namespace}/{service.metadata.name}"
        wrong = services.init_ip_families(service)
        if not wrong:
            wrong = self._claim_address(service, owner, write) or self._claim_ports(service, owner, write)
        if wrong:
            raise errors.invalid("Service", service.metadata.name or "", wrong)

    def _claim_address(self, service: Service, owner: str, write: Write) -> list[FieldError]:
        spec = service.spec
        if not services.needs_cluster_ip(spec) or spec.cluster_ip == services.HEADLESS:
            return []
        if spec.cluster_ip:
            value = int(ip_address(spec.cluster_ip))
            spec.cluster_ips = spec.cluster_ips or (spec.cluster_ip,)
            reason = self._claim(self._ips, value, owner, write, _TAKEN_IP, _FOREIGN_IP)
            if reason:
                detail = f"failed to allocate IP {spec.cluster_ip}: {reason}"
                return [field_errors.invalid("spec.clusterIPs", [spec.cluster_ip], detail)]
            return []
        try:
            value = self._choose(self._ips, owner, write)
        except Full:
            return [field_errors.invalid("spec.clusterIPs", [], f"failed to allocate a serviceIP: {_NO_IP}")]
        spec.cluster_ip = str(IPv4Address(value))
        spec.cluster_ips = (spec.cluster_ip,)
        return []

    def _claim_ports(self, service: Service, owner: str, write: Write) -> list[FieldError]:
        spec = service.spec
        if services.needs_node_ports(spec):
            chosen: dict[int, set[str | None]] = {}
            for index, port in enumerate(spec.ports):
                if wrong := self._claim_port(port, index, chosen, owner, write):
                    return wrong
        if services.needs_health_check_port(spec):
            wanted = spec.health_check_node_port
            if not wanted:
                spec.health_check_node_port = self._choose(self._ports, owner, write)
            elif reason := self._claim(self._ports, wanted, owner, write, _TAKEN_PORT, self._port_range()):
                detail = f"failed to allocate requested HealthCheck NodePort {wanted}: {reason}"
                return [field_errors.invalid("spec.healthCheckNodePort", wanted, detail)]
        return []

    def _claim_port(
        self, port: ServicePort, index: int, chosen: dict[int, set[str | None]], owner: str, write: Write
    ) -> list[FieldError]:
        """A number may serve two protocols of one Service, which then share it."""
        path = f"spec.ports[{index}].nodePort"
        if port.node_port:
            shared = port.node_port in chosen and port.protocol not in chosen[port.node_port]
            if not shared:
                holder = owner if port.node_port not in chosen else ""
                reason = self._claim(self._ports, port.node_port, holder, write, _TAKEN_PORT, self._port_range())
                if reason:
                    return [field_errors.invalid(path, port.node_port, reason)]
        else:
            try:
                port.node_port = self._choose(self._ports, owner, write)
            except Full:
                return [FieldError("InternalError", path, f"Internal error: failed to allocate a nodePort: {_NO_IP}")]
        chosen.setdefault(port.node_port, set()).add(port.protocol)
        return []

    def _claim(self, pool: Pool, value: int, owner: str, write: Write, taken: str, outside: str) -> str:
        """Why the value cannot be had, "" if it is claimed."""
        try:
            if pool.claim(value, owner):
                write.undo.append(_releaser(pool, value, owner))
                self._reserve(pool, value, owner, write)
                if write.dry_run:
                    write.done.append(_releaser(pool, value, owner))
        except Taken:
            return taken
        except OutOfRange:
            return outside
        return ""

    def _choose(self, pool: Pool, owner: str, write: Write) -> int:
        value = pool.choose(owner)
        write.undo.append(_releaser(pool, value, owner))
        self._reserve(pool, value, owner, write)
        return value

    def _reserve(self, pool: Pool, value: int, owner: str, write: Write) -> None:
        reservations = self._reservations
        if reservations is None:
            return
        name = "serviceips" if pool is self._ips else "servicenodeports"

        async def hold() -> None:
            await reservations.hold(name, value, owner, lambda: pool.owner(value) == owner)
            for end in (write.done, write.undo):
                end.append(lambda: reservations.release(name, value))

        write.before.append(hold)

    def _port_range(self) -> str:
        span = f"{self._ports.first}-{self._ports.last}"
        return f"provided port is not in the valid range. The range of valid ports is {span}"

    def _follow(self, event: CacheEvent) -> None:
        before, after = self._held(event.previous), self._held(event.current)
        obj = event.current or event.previous
        assert obj is not None
        for pool, value in before - after:
            self._pool(pool).release(value, obj.key)
        for pool, value in after:
            self._pool(pool).assign(value, obj.key)

    def _pool(self, name: str) -> Pool:
        return self._ips if name == "ip" else self._ports

    def _held(self, obj: CachedObject | None) -> set[tuple[str, int]]:
        if obj is None:
            return set()
        spec = codec.decode(Service, obj.value).spec
        held = {("ip", int(ip_address(ip))) for ip in _ipv4(spec.cluster_ips)}
        held |= {("port", port.node_port) for port in spec.ports if port.node_port}
        if spec.health_check_node_port:
            held.add(("port", spec.health_check_node_port))
        return held


def _releaser(pool: Pool, value: int, owner: str) -> Callable[[], None]:
    return lambda: pool.release(value, owner)


def _ipv4(addresses: Iterable[str]) -> Iterable[str]:
    return (a for a in addresses if a != services.HEADLESS and ":" not in a)
