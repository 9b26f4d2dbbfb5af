"""The machine's side of its hosts: namespaces, cables and the bridge between them, and their removal.

Namespaces are entered by ``nsenter --net``: ``ip netns exec`` would mount another /sys over that of the cgroups.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tiphys.cmd.config import ConfigError
from tiphys.cmd.hosts.plan import Host, Hosts
from tiphys.network import sysctl

NAMESPACES: Final = Path("/run/netns")
LINK: Final = "eth0"
"""The host's end of its cable."""
_RECORDS: Final = Path("/run/tiphys")
_TIMEOUT_SECONDS: Final = 30.0
_making = threading.Lock()


def taken_ranges() -> list[str]:
    """Every range that this machine has a route to, the default one aside."""
    return [destination for destination, _ in routes()]


def routes() -> list[tuple[str, str]]:
    """(range, link) of every route of this machine, the default one aside; the link is "" if it has none."""
    found = json.loads(_run(["ip", "-json", "-4", "route", "show", "table", "all"]) or "[]")
    return [(route["dst"], route.get("dev", "")) for route in found if _is_range(route.get("dst", ""))]


def _is_range(text: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_network(text, strict=False).version == 4
    return False


def namespace_path(hosts: Hosts, host: Host) -> Path:
    return NAMESPACES / hosts.namespace(host)


def ensure_bridge(hosts: Hosts) -> None:
    """The underlay and the machine's address on it; hosts reach what the machine reaches. Idempotent."""
    name = hosts.bridge
    if name not in links():
        _ip(f"link add name {name} type bridge forward_delay 0 stp_state 0")
    _ip(f"addr replace {hosts.machine_address}/{hosts.prefix_length} dev {name}", f"link set {name} up")
    sysctl.ensure(_sysctl_record(Path("/proc/self/ns/net")), wanted={sysctl.FORWARD: "1"})
    _nft(_masquerade(hosts))


def remove_bridge(hosts: Hosts) -> None:
    """Take the underlay back, and what was set for it. Idempotent; its hosts must have gone."""
    _nft(f"add table ip {hosts.bridge}\ndelete table ip {hosts.bridge}\n")
    present = links()
    if hosts.bridge in present:
        _ip(f"link del {hosts.bridge}")
    if not any(name.startswith("tiphys-") and name != hosts.bridge for name in present):
        sysctl.restore(_sysctl_record(Path("/proc/self/ns/net")))
    for folder in (NAMESPACES, _RECORDS):
        with contextlib.suppress(OSError):
            folder.rmdir()  # only when empty


def ensure_host(hosts: Hosts, host: Host) -> None:
    """The host's namespace, with its cable plugged in: address, loopback and default route are there. Idempotent.

    A cable that was cut stays cut.
    """
    path, link, name = namespace_path(hosts, host), hosts.link(host), hosts.namespace(host)
    _ensure_namespace(path)
    inside = links(name)
    if LINK in inside and link in links():
        _ip(f"link set {link} master {hosts.bridge}")  # the bridge may be another than when the cable was laid
        return
    if link in links():
        _ip(f"link del {link}")
    _ip(f"link add {link} type veth peer name {LINK} netns {name}", f"link set {link} master {hosts.bridge} up")
    _ip(
        "link set lo up",
        f"addr add {host.address}/{hosts.prefix_length} dev {LINK}",
        f"link set {LINK} up",
        f"route add default via {hosts.machine_address} dev {LINK} src {host.address}",
        namespace=name,
    )


def _ensure_namespace(path: Path) -> None:
    if os.path.ismount(path):
        return
    with _making:
        path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    _run(["unshare", f"--net={path}", "true"])


def remove_host(hosts: Hosts, host: Host) -> None:
    """Take the host's namespace and cable away, and all that is in it. Idempotent; its processes must have ended."""
    path, link = namespace_path(hosts, host), hosts.link(host)
    if os.path.ismount(path):
        # The number may become another namespace's: what was recorded under it must not be taken for that one's.
        _sysctl_record(path).unlink(missing_ok=True)
    if link in links():
        _ip(f"link del {link}")
    while os.path.ismount(path):
        _run(["umount", str(path)])
    path.unlink(missing_ok=True)


def cut(hosts: Hosts, host: Host) -> None:
    """Pull the cable. Idempotent."""
    if hosts.link(host) in links():
        _ip(f"link set {hosts.link(host)} down")


def mend(hosts: Hosts, host: Host) -> None:
    """Plug the cable in again. Idempotent."""
    if hosts.link(host) in links():
        _ip(f"link set {hosts.link(host)} up")


def is_cut(hosts: Hosts, host: Host) -> bool:
    """Whether there is a cable, and it is pulled."""
    try:
        flags = int((Path("/sys/class/net") / hosts.link(host) / "flags").read_text(), 16)
    except OSError:
        return False
    return not flags & 1


def exists(hosts: Hosts, host: Host) -> bool:
    return os.path.ismount(namespace_path(hosts, host))


def inside(hosts: Hosts, host: Host) -> list[str]:
    """The start of a command line that runs the rest on that host, under the host's name."""
    rename = 'echo "$0" > /proc/sys/kernel/hostname && exec "$@"'
    enter = ["nsenter", f"--net={namespace_path(hosts, host)}"]
    return [*enter, "unshare", "--uts", "sh", "-c", rename, host.name]


def links(namespace: str = "") -> set[str]:
    """The names of all links, of the machine or of a namespace."""
    where = ["-n", namespace] if namespace else []
    listed: list[dict[str, Any]] = json.loads(_run(["ip", "-json", *where, "link", "show"]) or "[]")
    return {item["ifname"] for item in listed if item}


def _masquerade(hosts: Hosts) -> str:
    table = f"ip {hosts.bridge}"
    return f"""\
add table {table}
delete table {table}
table {table} {{
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {hosts.subnet} ip daddr != {hosts.subnet} oifname != "{hosts.bridge}" masquerade
  }}
}}
"""


def _sysctl_record(namespace: Path) -> Path:
    """Where the settings of a namespace were written down before they were changed (as ``network.node`` has it)."""
    return _RECORDS / f"sysctl-before-{namespace.stat().st_ino}.json"


def _nft(script: str) -> None:
    _run(["nft", "-f", "-"], script)


def _ip(*lines: str, namespace: str = "") -> None:
    where = ["-n", namespace] if namespace else []
    _run(["ip", *where, "-batch", "-"], "\n".join(lines) + "\n")


def _run(command: Sequence[str], text: str = "") -> str:
    """Run a program; what it printed. Raises ConfigError with its words."""
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, check=False, timeout=_TIMEOUT_SECONDS
        )
    except FileNotFoundError:
        raise ConfigError(f"{command[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise ConfigError(f"{' '.join(command)} did not end after {_TIMEOUT_SECONDS:.0f} s") from None
    if done.returncode:
        raise ConfigError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
