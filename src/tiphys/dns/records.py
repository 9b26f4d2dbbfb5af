"""The cluster's names as DNS sees them: Services and EndpointSlices in, answers to questions out. Pure.

Source: Kubernetes DNS-Based Service Discovery, schema 1.1.0. With zone ``cluster.local``:

    <service>.<ns>.svc                 A: the ClusterIP; headless: every ready endpoint; ExternalName: CNAME
    <host>.<service>.<ns>.svc          A: the endpoint of a headless Service with that hostname (or dashed address)
    _<port>._<proto>.<service>.<ns>.svc  SRV
    1-2-3-4.<ns>.pod                   A: 1.2.3.4
    dns-version                        TXT: the schema's version
    4.3.2.1.in-addr.arpa               PTR of a ClusterIP or of a named endpoint
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from tiphys.api.types.core_v1 import Service
from tiphys.api.types.discovery_v1 import Endpoint, EndpointSlice

SCHEMA_VERSION: Final = "1.1.0"
Key = tuple[str, str]
"""(namespace, name) of a Service."""


@dataclass(frozen=True, slots=True)
class Record:
    """One resource record: `data` is an address, a name, a text, or (priority, weight, port, target) for SRV."""

    name: str
    type: str
    data: str | tuple[int, int, int, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """`exists` is False for NXDOMAIN; with it True and no records the name has none of that type (NODATA)."""

    exists: bool
    records: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()


NXDOMAIN: Final = Answer(False)
NODATA: Final = Answer(True)


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a Service's port leads: the host label of a headless endpoint ("" for the Service itself)."""

    host: str
    address: str
    ports: tuple[tuple[str, str, int], ...]  # (port name, protocol in lower case, number)


@dataclass(frozen=True, slots=True)
class _Entry:
    external_name: str
    targets: tuple[_Target, ...]


class Zone:
    """All names of one cluster; `update_service` and `update_slices` keep them, `resolve` answers."""

    def __init__(self, domain: str) -> None:
        self.domain = domain.strip(".").lower()
        self._entries: dict[Key, _Entry] = {}
        self._names_by_address: dict[str, set[str]] = {}
        self._namespaces: dict[str, int] = {}

    def update(self, key: Key, service: Service | None, slices: Iterable[EndpointSlice]) -> None:
        """What a Service is now, with its EndpointSlices; None removes it. Idempotent."""
        self._forget(key)
        if service is None:
            return
        entry = _entry(service, slices)
        self._entries[key] = entry
        self._namespaces[key[0]] = self._namespaces.get(key[0], 0) + 1
        for target in entry.targets:
            self._names_by_address.setdefault(target.address, set()).add(self._name_of(key, target))

    def _forget(self, key: Key) -> None:
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        self._namespaces[key[0]] -= 1
        if not self._namespaces[key[0]]:
            del self._namespaces[key[0]]
        for target in entry.targets:
            names = self._names_by_address.get(target.address, set())
            names.discard(self._name_of(key, target))
            if not names:
                self._names_by_address.pop(target.address, None)

    def _name_of(self, key: Key, target: _Target) -> str:
        host = f"{target.host}." if target.host else ""
        return f"{host}{key[1]}.{key[0]}.svc.{self.domain}"

    def owns(self, name: str) -> bool:
        """Whether `name` (lower case, no final dot) is the cluster's to answer; reverse names are when known here."""
        if name == self.domain or name.endswith(f".{self.domain}"):
            return True
        return name.endswith(".in-addr.arpa") and _forward(name) in self._names_by_address

    def resolve(self, name: str, record_type: str) -> Answer:
        """The answer for a name this zone `owns`; `record_type` is ``A``, ``SRV`` and the like."""
        if name.endswith(".in-addr.arpa"):
            found = self._names_by_address.get(_forward(name), set())
            records = tuple(Record(name, "PTR", target) for target in sorted(found))
            return Answer(bool(found), records if record_type == "PTR" else ())
        labels = name[: -len(self.domain)].rstrip(".").split(".") if name != self.domain else []
        return self._under_domain(name, labels, record_type)

    def _under_domain(self, name: str, labels: list[str], record_type: str) -> Answer:
        if not labels or labels == ["svc"] or labels == ["pod"]:
            return NODATA
        if labels == ["dns-version"]:
            version = Record(name, "TXT", SCHEMA_VERSION)
            return Answer(True, (version,) if record_type == "TXT" else ())
        if labels[-1] == "pod":
            return _pod(name, labels[:-1], record_type)
        if labels[-1] != "svc":
            return NXDOMAIN
        if len(labels) == 2:
            return NODATA if labels[0] in self._namespaces else NXDOMAIN
        key = (labels[-2], labels[-3])
        entry = self._entries.get(key)
        if entry is None:
            return NXDOMAIN
        if entry.external_name:
            return self._external(name, entry.external_name, record_type) if len(labels) == 3 else NXDOMAIN
        return self._service(name, key, entry, labels[:-3], record_type)

    def _external(self, name: str, target: str, record_type: str) -> Answer:
        alias = Record(name, "CNAME", target)
        if record_type == "CNAME" or not self.owns(target) or self._is_alias(target):
            # One step is enough for clients to go on by themselves; a circle of aliases must not hold us.
            return Answer(True, (alias,))
        return Answer(True, (alias, *self.resolve(target, record_type).records))

    def _is_alias(self, name: str) -> bool:
        labels = name[: -len(self.domain)].rstrip(".").split(".")
        entry = self._entries.get((labels[-2], labels[-3])) if len(labels) >= 3 else None
        return entry is not None and bool(entry.external_name)

    def _service(self, name: str, key: Key, entry: _Entry, prefix: list[str], record_type: str) -> Answer:
        if len(prefix) > 1 and prefix[-1].startswith("_"):
            if len(prefix) != 2 or not prefix[0].startswith("_"):
                return NXDOMAIN
            return self._srv(name, key, entry, record_type, port=prefix[0][1:], protocol=prefix[1][1:])
        if prefix:
            targets = [t for t in entry.targets if t.host == ".".join(prefix)]
            if not targets:
                return NXDOMAIN
        else:
            targets = list(entry.targets)
            if record_type == "SRV":
                return self._srv(name, key, entry, record_type)
        if record_type != "A":
            return NODATA
        return Answer(True, tuple(Record(name, "A", a) for a in dict.fromkeys(t.address for t in targets)))

    def _srv(
        self, name: str, key: Key, entry: _Entry, record_type: str, *, port: str = "", protocol: str = ""
    ) -> Answer:
        matches = [
            (target, number)
            for target in entry.targets
            for port_name, port_protocol, number in target.ports
            if not port or (port_name, port_protocol) == (port, protocol)
        ]
        if not matches:
            return NXDOMAIN if port else NODATA
        if record_type != "SRV":
            return NODATA
        weight = max(1, 100 // len(matches))
        records = tuple(Record(name, "SRV", (0, weight, number, self._name_of(key, t))) for t, number in matches)
        hosts = {self._name_of(key, target): target.address for target, _ in matches}
        return Answer(True, records, tuple(Record(host, "A", address) for host, address in hosts.items()))


def _entry(service: Service, slices: Iterable[EndpointSlice]) -> _Entry:
    spec = service.spec
    if spec.type == "ExternalName":
        return _Entry((spec.external_name or "").strip(".").lower(), ())
    if spec.cluster_ip and spec.cluster_ip != "None":
        ports = tuple((p.name or "", (p.protocol or "TCP").lower(), p.port) for p in spec.ports)
        addresses = [a for a in spec.cluster_ips or (spec.cluster_ip,) if "." in a]
        return _Entry("", tuple(_Target("", address, ports) for address in addresses))
    unready = bool(spec.publish_not_ready_addresses)
    return _Entry("", tuple(_headless(slices, unready=unready)))


def _headless(slices: Iterable[EndpointSlice], *, unready: bool) -> Iterable[_Target]:
    seen: set[tuple[str, str]] = set()
    for piece in sorted(slices, key=lambda s: s.metadata.name or ""):
        if piece.address_type != "IPv4":
            continue
        ports = tuple((p.name or "", (p.protocol or "TCP").lower(), p.port) for p in piece.ports if p.port)
        for endpoint in piece.endpoints:
            if not (unready or _ready(endpoint)):
                continue
            for address in endpoint.addresses:
                host = (endpoint.hostname or address.replace(".", "-")).lower()
                if (host, address) not in seen:
                    seen.add((host, address))
                    yield _Target(host, address, ports)


def _ready(endpoint: Endpoint) -> bool:
    return endpoint.conditions.ready is not False


def _pod(name: str, labels: list[str], record_type: str) -> Answer:
    if len(labels) == 1:
        return NODATA
    if len(labels) != 2:
        return NXDOMAIN
    try:
        address = str(ipaddress.IPv4Address(labels[0].replace("-", ".")))
    except ValueError:
        return NXDOMAIN
    return Answer(True, (Record(name, "A", address),) if record_type == "A" else ())


def _forward(name: str) -> str:
    """``4.3.2.1.in-addr.arpa`` → ``1.2.3.4``."""
    return ".".join(reversed(name.removesuffix(".in-addr.arpa").split(".")))
