"""The kernel settings pods need, and their return to what they were."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

PROC_SYS = Path("/proc/sys")
FORWARD = "net/ipv4/ip_forward"
# Without it, replies between two pods on the bridge skip conntrack and Services between them do not work.
BRIDGE_FILTER = "net/bridge/bridge-nf-call-iptables"
# A packet for a Service may leave by the bridge it came from: pods must not be told to go a shorter way.
REDIRECTS = "net/ipv4/conf/all/send_redirects"
WANTED = {FORWARD: "1", BRIDGE_FILTER: "1", REDIRECTS: "0"}


class SysctlError(Exception):
    """A setting that pods cannot do without cannot be made; the text says which and what to do."""


def ensure(record: Path, root: Path = PROC_SYS, *, wanted: Mapping[str, str] = WANTED) -> None:
    """Make the settings (values by name); what they were before is written to ``record`` once, for ``restore``."""
    if not (root / BRIDGE_FILTER).exists():
        with contextlib.suppress(OSError):
            subprocess.run(["modprobe", "br_netfilter"], capture_output=True, check=False, timeout=30)
    before = json.loads(record.read_text()) if record.exists() else {}
    for name, value in wanted.items():
        path = root / name
        try:
            current = path.read_text().strip()
            if current != value:
                before.setdefault(name, current)
                record.parent.mkdir(parents=True, exist_ok=True)
                record.write_text(json.dumps(before))
                path.write_text(value)
        except OSError as error:
            hint = " (is the kernel module br_netfilter available?)" if name == BRIDGE_FILTER else ""
            raise SysctlError(f"cannot set {name.replace('/', '.')} = {value}: {error.strerror}{hint}") from error


def restore(record: Path, root: Path = PROC_SYS) -> None:
    """Give back what ``ensure`` changed. Idempotent."""
    if not record.exists():
        return
    for name, value in json.loads(record.read_text()).items():
        with contextlib.suppress(OSError):
            (root / name).write_text(value)
    record.unlink()
