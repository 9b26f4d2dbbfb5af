"""The proxy's nft table: its fixed part, its items, and scripts that bring the kernel from one state to another.

A Service is elements in a few maps, not chains of its own:

    services      address . protocol . port  ──► goto pick-N          (N: how many endpoints there are)
    pick-N        random number below N      ──► goto slot-n
    slot-n        address . protocol . port  ──► endpoints-n ──► endpoint address . port: DNAT

so a Service with three endpoints is four elements, one in ``services`` and one in each of ``endpoints-0`` to ``-2``. A
changed endpoint is one element, and chains are as many as the largest Service has endpoints. Node ports have maps of
their own, because their address is any of the node's. Only session affinity needs chains per Service: each endpoint
remembers its clients in a set.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from tiphys.proxy.config import ProxyConfig

FAMILY = "ip"
MASQUERADE_MARK = 0x4000
"""Set between DNAT and postrouting on packets that must leave with the node's address (upstream's bit)."""

ELEMENT, CHAIN, SET, MAP = "element", "chain", "set", "map"


class Item(NamedTuple):
    """One thing in the table that can be added and removed.

    An ELEMENT of map or set ``name`` with ``key``; a CHAIN, SET or MAP of that ``name``. Its value: the element's
    data ("" in a set), the chain's rules by newline, the set's or map's definition.
    """

    kind: str
    name: str
    key: str = ""


State = Mapping[Item, str]
Changes = Mapping[Item, tuple[str | None, str | None]]
"""Item to its value before and after; None: not there."""


def mark_for_masquerade() -> str:
    return f"meta mark set meta mark or {MASQUERADE_MARK:#x}"


def skeleton(config: ProxyConfig) -> str:
    """The table without any Service, replacing whatever is there under its name.

    Refused TCP is reset at once: the ICMP that refuses other protocols is limited in rate by the kernel.
    """
    table = config.table
    return f"""\
add table {FAMILY} {table}
delete table {FAMILY} {table}
table {FAMILY} {table} {{
  map services {{
    type ipv4_addr . inet_proto . inet_service : verdict
  }}
  map node-ports {{
    type inet_proto . inet_service : verdict
  }}
  map unserved {{
    type ipv4_addr . inet_proto . inet_service : verdict
  }}
  map unserved-node-ports {{
    type inet_proto . inet_service : verdict
  }}
  set cluster-ips {{
    type ipv4_addr
  }}
  set hairpin {{
    type ipv4_addr . ipv4_addr
  }}
  chain refuse {{
    meta l4proto tcp reject with tcp reset
    reject
  }}
  chain dispatch {{
    ip daddr . meta l4proto . th dport vmap @services
    ip daddr != 127.0.0.0/8 fib daddr type local meta l4proto . th dport vmap @node-ports
  }}
  chain nat-prerouting {{
    type nat hook prerouting priority dstnat; policy accept;
    ip daddr {config.service_cidr} ip saddr != {config.cluster_cidr} {mark_for_masquerade()}
    jump dispatch
  }}
  chain nat-output {{
    type nat hook output priority -100; policy accept;
    jump dispatch
  }}
  chain nat-postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    meta mark & {MASQUERADE_MARK:#x} == {MASQUERADE_MARK:#x} jump masquerading
    ct status dnat ip saddr . ip daddr @hairpin masquerade fully-random
  }}
  chain masquerading {{
    meta mark set meta mark xor {MASQUERADE_MARK:#x}
    masquerade fully-random
  }}
  chain filter-unserved {{
    ip daddr . meta l4proto . th dport vmap @unserved
    fib daddr type local meta l4proto . th dport vmap @unserved-node-ports
    ip daddr @cluster-ips goto refuse
    ip daddr {config.service_cidr} drop
  }}
  chain filter-input {{
    type filter hook input priority filter; policy accept;
    ct state new jump filter-unserved
  }}
  chain filter-forward {{
    type filter hook forward priority filter; policy accept;
    ct state new jump filter-unserved
  }}
  chain filter-output {{
    type filter hook output priority filter; policy accept;
    ct state new jump filter-unserved
  }}
}}
"""


def _elements(verb: str, table: str, elements: Iterable[tuple[Item, str]]) -> list[str]:
    """One statement for each map or set, with all its elements."""
    by_name: dict[str, list[str]] = {}
    for item, value in elements:
        by_name.setdefault(item.name, []).append(f"{item.key} : {value}" if value else item.key)
    return [f"{verb} element {FAMILY} {table} {name} {{ {', '.join(keys)} }}" for name, keys in by_name.items()]


def changes_script(table: str, changes: Changes) -> str:
    """The transaction that makes the changes: what is referred to exists before, and goes after, what refers to it."""
    lines: list[str] = []
    refill: list[str] = []
    gone: list[str] = []
    removed: list[tuple[Item, str]] = []
    added: list[tuple[Item, str]] = []
    for item, (before, after) in changes.items():
        if item.kind == ELEMENT:
            if before is not None:
                removed.append((item, ""))
            if after is not None:
                added.append((item, after))
        elif item.kind in (SET, MAP):
            if before is None and after is not None:
                lines.append(f"add {item.kind} {FAMILY} {table} {item.name} {{ {after} }}")
            elif after is None:
                gone.append(f"delete {item.kind} {FAMILY} {table} {item.name}")
        elif after is None:
            refill.append(f"flush chain {FAMILY} {table} {item.name}")
            gone.insert(0, f"delete chain {FAMILY} {table} {item.name}")
        else:
            lines.append(f"add chain {FAMILY} {table} {item.name}")
            if before is not None:
                refill.append(f"flush chain {FAMILY} {table} {item.name}")
            refill += [f"add rule {FAMILY} {table} {item.name} {rule}" for rule in after.split("\n")]
    lines += _elements("delete", table, removed)
    lines += refill
    lines += _elements("add", table, added)
    lines += gone
    return "\n".join(lines) + "\n" if lines else ""


def full_script(config: ProxyConfig, state: State) -> str:
    """The transaction that makes the table hold exactly this state, whatever it holds now."""
    return skeleton(config) + changes_script(config.table, {item: (None, value) for item, value in state.items()})
