"""A packet's way through the proxy's table, worked out from its items: what the kernel would do, without a kernel.

It understands the words the proxy writes and refuses any other, so that a rule nobody traces is a failing test.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field

from tests.unit.proxy.cluster import CONFIG
from tiphys.proxy.ruleset import CHAIN, ELEMENT, MAP, SET, State

NODE = "192.168.7.1"
DNAT = re.compile(r"dnat ip addr \. port to (ip daddr \. )?meta l4proto \. th dport map @(\S+)")


@dataclass
class Outcome:
    """``verdicts``: every end the packet may come to (``target``, ``refused``, ``dropped``, ``untouched``)."""

    verdicts: set[str] = field(default_factory=set)
    masqueraded: set[bool] = field(default_factory=set)


@dataclass(frozen=True)
class Packet:
    source: str
    address: str
    port: int
    protocol: str = "tcp"

    @property
    def keys(self) -> tuple[str, str]:
        """As an element of a map with addresses, and of one for the node's ports."""
        return f"{self.address} . {self.protocol} . {self.port}", f"{self.protocol} . {self.port}"


class Tracer:
    def __init__(self, state: State, remembered: dict[str, set[str]] | None = None) -> None:
        self.maps: dict[str, dict[str, str]] = {}
        self.chains = {item.name: value.split("\n") for item, value in state.items() if item.kind == CHAIN}
        self.sets = {item.name for item in state if item.kind == SET}
        self.remembered = remembered or {}
        for item, value in state.items():
            if item.kind == ELEMENT:
                self.maps.setdefault(item.name, {})[item.key] = value
            elif item.kind == MAP:
                self.maps.setdefault(item.name, {})

    def trace(self, packet: Packet) -> Outcome:
        """As the fixed chains dispatch it: DNAT first, then what is left of it to the filters."""
        outcome = Outcome()
        services = ipaddress.ip_network(CONFIG.service_cidr)
        masquerade = ipaddress.ip_address(packet.address) in services and not self._inside(packet)
        by_address, by_port = packet.keys
        verdict = self.maps.get("services", {}).get(by_address)
        if verdict is None and packet.address == NODE:
            verdict = self.maps.get("node-ports", {}).get(by_port)
        if verdict is not None:
            self._verdict(verdict, packet, masquerade, outcome)
            return outcome
        verdict = self.maps.get("unserved", {}).get(by_address)
        if verdict is None and packet.address == NODE:
            verdict = self.maps.get("unserved-node-ports", {}).get(by_port)
        if verdict is None and packet.address in self.maps.get("cluster-ips", {}):
            verdict = "goto refuse"
        if verdict is None:
            verdict = "drop" if ipaddress.ip_address(packet.address) in services else "untouched"
        outcome.verdicts.add({"goto refuse": "refused", "drop": "dropped"}.get(verdict, verdict))
        return outcome

    @staticmethod
    def _inside(packet: Packet) -> bool:
        return ipaddress.ip_address(packet.source) in ipaddress.ip_network(CONFIG.cluster_cidr)

    def _verdict(self, verdict: str, packet: Packet, masquerade: bool, outcome: Outcome) -> None:
        if verdict == "drop":
            outcome.verdicts.add("dropped")
            return
        word, _, chain = verdict.partition(" ")
        assert word == "goto", verdict
        self._chain(chain, packet, masquerade, outcome)

    def _chain(self, name: str, packet: Packet, masquerade: bool, outcome: Outcome) -> None:
        for rule in self.chains[name]:
            if rule == "meta mark set meta mark or 0x4000":
                masquerade = True
            elif match := re.fullmatch(r"numgen random mod (\d+) vmap \{ (.*) \}", rule):
                choices = dict(choice.split(" : ") for choice in match[2].split(", "))
                assert sorted(map(int, choices)) == list(range(int(match[1])))
                for choice in choices.values():
                    self._verdict(choice, packet, masquerade, outcome)
                return
            elif match := re.fullmatch(
                r"dnat ip addr \. port to (ip daddr \. )?meta l4proto \. th dport map @(\S+)", rule
            ):
                target = self.maps[match[2]].get(packet.keys[0 if match[1] else 1])
                outcome.verdicts.add(target.replace(" . ", ":") if target else f"lost in {name}")
                outcome.masqueraded.add(masquerade)
                return
            elif match := re.fullmatch(r"meta l4proto \{ tcp, udp, sctp \} dnat to (\S+)", rule):
                outcome.verdicts.add(match[1])
                outcome.masqueraded.add(masquerade)
                return
            elif match := re.fullmatch(r"ip saddr @(\S+) goto (\S+)", rule):
                assert match[1] in self.sets
                if packet.source in self.remembered.get(match[1], ()):
                    self._chain(match[2], packet, masquerade, outcome)
                    return
            elif match := re.fullmatch(r"ip saddr (\S+) goto (\S+)", rule):
                if ipaddress.ip_address(packet.source) in ipaddress.ip_network(match[1]):
                    self._chain(match[2], packet, masquerade, outcome)
                    return
            elif match := re.fullmatch(r"fib saddr type local goto (\S+)", rule):
                if packet.source == NODE:
                    self._chain(match[1], packet, masquerade, outcome)
                    return
            elif match := re.fullmatch(r"ip saddr != \{ (.*) \} drop", rule):
                ranges = [ipaddress.ip_network(text) for text in match[1].split(", ")]
                if not any(ipaddress.ip_address(packet.source) in one for one in ranges):
                    outcome.verdicts.add("dropped")
                    return
            elif match := re.fullmatch(r"update @(\S+) \{ ip saddr timeout \d+s \}", rule):
                assert match[1] in self.sets
            elif rule == "drop" or rule.startswith("goto "):
                self._verdict(rule, packet, masquerade, outcome)
                return
            else:
                raise AssertionError(f"a rule the tracer does not know, in {name}: {rule}")
        raise AssertionError(f"the packet falls out of {name}")
