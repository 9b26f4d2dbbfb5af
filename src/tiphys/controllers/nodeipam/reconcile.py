"""Free ranges of the cluster's pod network. Pure state: ranges in, ranges out."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class RangeError(ValueError):
    """A node's range does not lie in the cluster's network, or no range is free."""


class Ranges:
    """The subnets of `cluster` with `prefix` bits; each belongs to at most one node."""

    def __init__(self, cluster: str, prefix: int) -> None:
        self.cluster: Network = ipaddress.ip_network(cluster)
        if not self.cluster.prefixlen <= prefix <= self.cluster.max_prefixlen:
            raise RangeError(f"node mask size /{prefix} does not fit in {cluster}")
        self.prefix = prefix
        self._owners: dict[int, str] = {}
        self._next = 0

    @property
    def size(self) -> int:
        """How many ranges there are."""
        return 1 << (self.prefix - self.cluster.prefixlen)

    def occupy(self, text: str, owner: str) -> None:
        """`owner` has the range already. Raises RangeError for one that is not ours to give."""
        network = ipaddress.ip_network(text)
        if network.version != self.cluster.version or not network.subnet_of(self.cluster):  # type: ignore[arg-type]
            raise RangeError(f"{text} is not in {self.cluster}")
        if network.prefixlen != self.prefix:
            raise RangeError(f"{text} is not a /{self.prefix}")
        self._owners[self._index(network)] = owner

    def allocate(self, owner: str) -> str:
        """A free range, the lowest not given before where there is one; raises RangeError when all are taken."""
        for index in self._order():
            if index not in self._owners:
                self._owners[index] = owner
                self._next = (index + 1) % self.size
                return str(self._network(index))
        raise RangeError("no remaining CIDRs are available")

    def release(self, text: str, owner: str) -> None:
        """`owner` is gone; its range is free unless another's by now."""
        network = ipaddress.ip_network(text)
        index = self._index(network)
        if self._owners.get(index) == owner:
            del self._owners[index]

    def _order(self) -> Iterator[int]:
        yield from range(self._next, self.size)
        yield from range(self._next)

    def _index(self, network: Network) -> int:
        offset = int(network.network_address) - int(self.cluster.network_address)
        return offset >> (self.cluster.max_prefixlen - self.prefix)

    def _network(self, index: int) -> Network:
        bits = self.cluster.max_prefixlen - self.prefix
        address = int(self.cluster.network_address) + (index << bits)
        return type(self.cluster)((address, self.prefix))
