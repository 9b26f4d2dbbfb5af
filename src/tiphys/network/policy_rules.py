"""NetworkPolicies as an nft table for the pods of one node: a pure function of policies, pods and namespaces.

    forward ──► egress of the sender, if it is a pod here that a policy isolates ──► ingress of the receiver, likewise

Each isolated pod leads to a chain of what its policies allow together; what none allows is dropped. Answers always
pass, and so does a pod's traffic with its own node, and with itself.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from tiphys.api.selectors import from_label_selector
from tiphys.api.types.core_v1 import Namespace, Pod
from tiphys.api.types.networking_v1 import (
    IPBlock,
    NetworkPolicy,
    NetworkPolicyPeer,
    NetworkPolicyPort,
)

FAMILY: Final = "ip"
INGRESS, EGRESS = "Ingress", "Egress"
ENDED: Final = ("Succeeded", "Failed")
_OTHER_SIDE: Final = {INGRESS: "saddr", EGRESS: "daddr"}


@dataclass(slots=True)
class Rules:
    """What goes into the table. ``sets``: name to (type, elements); ``chains``: name to rules; pods to their chains."""

    sets: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    chains: dict[str, tuple[str, ...]] = field(default_factory=dict)
    ingress: dict[str, str] = field(default_factory=dict)
    egress: dict[str, str] = field(default_factory=dict)


def has_address(pod: Pod) -> bool:
    """Whether packets of the pod are told apart by its address."""
    address = pod.status.pod_ip or ""
    return bool(address) and ":" not in address and not pod.spec.host_network and pod.status.phase not in ENDED


def directions(policy: NetworkPolicy) -> tuple[str, ...]:
    """What the policy isolates; where it does not say, ingress, and egress if it has rules for it."""
    return policy.spec.policy_types or ((INGRESS, EGRESS) if policy.spec.egress else (INGRESS,))


def compile_rules(
    policies: Iterable[NetworkPolicy], pods: Iterable[Pod], namespaces: Iterable[Namespace], node_name: str
) -> Rules:
    compiler = _Compiler([p for p in pods if has_address(p)], {n.metadata.name or "": n for n in namespaces})
    by_namespace: dict[str, list[NetworkPolicy]] = {}
    for policy in sorted(policies, key=lambda p: (p.metadata.namespace or "", p.metadata.name or "")):
        by_namespace.setdefault(policy.metadata.namespace or "", []).append(policy)
    for pod in compiler.pods:
        own = by_namespace.get(pod.metadata.namespace or "", ())
        if pod.spec.node_name == node_name and own:
            compiler.add(pod, own)
    return compiler.rules


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


class _Compiler:
    def __init__(self, pods: list[Pod], namespaces: Mapping[str, Namespace]) -> None:
        self.rules = Rules()
        self.pods = sorted(pods, key=lambda p: (p.metadata.namespace or "", p.metadata.name or ""))
        self._namespaces = namespaces

    def add(self, pod: Pod, policies: Iterable[NetworkPolicy]) -> None:
        selecting = [
            policy for policy in policies if from_label_selector(policy.spec.pod_selector).matches(pod.metadata.labels)
        ]
        address = pod.status.pod_ip or ""
        for direction, pods in ((INGRESS, self.rules.ingress), (EGRESS, self.rules.egress)):
            isolating = [policy for policy in selecting if direction in directions(policy)]
            if isolating:
                lines = tuple(
                    dict.fromkeys(line for policy in isolating for line in self._lines(pod, policy, direction))
                )
                chain = f"{direction.lower()}-{_digest(lines)}"
                self.rules.chains[chain] = (*lines, "drop")
                pods[address] = chain

    def _lines(self, pod: Pod, policy: NetworkPolicy, direction: str) -> Iterator[str]:
        """What the policy allows. ``return`` and not ``accept``: the other pod has a say too."""
        namespace = policy.metadata.namespace or ""
        if direction == INGRESS:
            wanted = [(rule.from_, rule.ports) for rule in policy.spec.ingress]
        else:
            wanted = [(rule.to, rule.ports) for rule in policy.spec.egress]
        for peers, ports in wanted:
            for side, members in self._peers(namespace, peers, direction):
                targets = [pod] if direction == INGRESS else members
                for port in self._ports(ports, targets):
                    yield " ".join(word for word in (side, port, "return") if word)

    def _peers(
        self, namespace: str, peers: Iterable[NetworkPolicyPeer], direction: str
    ) -> Iterator[tuple[str, list[Pod]]]:
        """An expression for each peer, and the pods it stands for; no peers: everybody."""
        peers = list(peers)
        if not peers:
            yield "", self.pods
        for peer in peers:
            if peer.ip_block is not None:
                expression = _block(peer.ip_block, _OTHER_SIDE[direction])
                if expression:
                    yield expression, [p for p in self.pods if _inside(p, peer.ip_block)]
                continue
            members = [pod for pod in self.pods if self._selected(namespace, peer, pod)]
            addresses = tuple(pod.status.pod_ip or "" for pod in members)
            name = f"pods-{_digest(namespace, peer)}"
            self.rules.sets[name] = ("ipv4_addr", addresses)
            yield f"ip {_OTHER_SIDE[direction]} @{name}", members

    def _selected(self, namespace: str, peer: NetworkPolicyPeer, pod: Pod) -> bool:
        own = pod.metadata.namespace or ""
        if peer.namespace_selector is None:
            if own != namespace:
                return False
        else:
            found = self._namespaces.get(own)
            if found is None or not from_label_selector(peer.namespace_selector).matches(found.metadata.labels):
                return False
        return peer.pod_selector is None or from_label_selector(peer.pod_selector).matches(pod.metadata.labels)

    def _ports(self, ports: Iterable[NetworkPolicyPort], targets: list[Pod]) -> Iterator[str]:
        """An expression for each port; no ports: all. Ports by name are looked up in the pods that receive."""
        ports = list(ports)
        if not ports:
            yield ""
        for port in ports:
            protocol = (port.protocol or "TCP").lower()
            if port.port is None:
                yield f"meta l4proto {protocol}"
            elif isinstance(port.port, str):
                elements = tuple(_named(targets, port.port, port.protocol or "TCP"))
                name = f"ports-{_digest(elements)}"
                self.rules.sets[name] = ("ipv4_addr . inet_service", elements)
                yield f"meta l4proto {protocol} ip daddr . th dport @{name}"
            else:
                last = f"-{port.end_port}" if port.end_port else ""
                yield f"meta l4proto {protocol} th dport {port.port}{last}"


def _named(pods: Iterable[Pod], name: str, protocol: str) -> Iterator[str]:
    for pod in pods:
        for container in pod.spec.containers:
            for port in container.ports:
                if port.name == name and (port.protocol or "TCP") == protocol:
                    yield f"{pod.status.pod_ip} . {port.container_port}"


def _block(block: IPBlock, side: str) -> str:
    """ "" for what is not IPv4."""
    if ":" in block.cidr:
        return ""
    expression = f"ip {side} {_network(block.cidr)}"
    excepted = ", ".join(str(_network(cidr)) for cidr in block.except_ if ":" not in cidr)
    return f"{expression} ip {side} != {{ {excepted} }}" if excepted else expression


def _inside(pod: Pod, block: IPBlock) -> bool:
    address = ipaddress.ip_address(pod.status.pod_ip or "0.0.0.0")
    excepted = any(address in _network(cidr) for cidr in block.except_ if ":" not in cidr)
    return address in _network(block.cidr) and not excepted


def _network(cidr: str) -> ipaddress.IPv4Network:
    return ipaddress.IPv4Network(cidr, strict=False)


def script(table: str, rules: Rules) -> str:
    """Make the table as it should be, whatever was in it, in one transaction."""
    lines = [f"add table {FAMILY} {table}", f"delete table {FAMILY} {table}", f"table {FAMILY} {table} {{"]
    for name, (kind, elements) in sorted(rules.sets.items()):
        lines.append(f"  set {name} {{ type {kind}; {_elements(sorted(set(elements)))}}}")
    isolated = sorted({*rules.ingress, *rules.egress})
    itself = [f"{address} . {address}" for address in isolated]
    lines.append(f"  set itself {{ type ipv4_addr . ipv4_addr; {_elements(itself)}}}")
    for name, body in sorted(rules.chains.items()):
        lines += [f"  chain {name} {{", *(f"    {line}" for line in body), "  }"]
    for name, pods in (("ingress", rules.ingress), ("egress", rules.egress)):
        verdicts = [f"{address} : jump {chain}" for address, chain in sorted(pods.items())]
        lines.append(f"  map {name} {{ type ipv4_addr : verdict; {_elements(verdicts)}}}")
    lines += [
        "  chain forward {",
        "    type filter hook forward priority filter - 5; policy accept;",
        "    ct state established,related accept",
        "    ip saddr . ip daddr @itself accept",
        "    ip saddr vmap @egress",
        "    ip daddr vmap @ingress",
        "  }",
        "}",
    ]
    return "\n".join(lines) + "\n"


def _elements(elements: Iterable[str]) -> str:
    listed = ", ".join(elements)
    return f"elements = {{ {listed} }}; " if listed else ""
