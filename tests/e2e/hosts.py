"""A cluster on hosts for tests: `tiphys up --nodes`, its hosts' deaths and returns, and clients on and off them."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.cluster import Cluster, eventually

# What a client does, in a process of its own, wherever that is: GET, then status and body, or 0 and why not.
_FETCH = """
import sys, urllib.error, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
headers = dict(line.split(": ", 1) for line in sys.argv[3:])
try:
    answer = opener.open(urllib.request.Request(sys.argv[1], headers=headers), timeout=float(sys.argv[2]))
    print(answer.status, answer.read().decode(errors="replace"), sep="\\n")
except urllib.error.HTTPError as error:
    print(error.code, error.read().decode(errors="replace"), sep="\\n")
except OSError as error:
    print(0, error, sep="\\n")
"""


@dataclass
class HostsCluster(Cluster):
    """A cluster whose machines are hosts (`node-1` …, `control-1` …); the test is outside, on the machine."""

    def node(self, verb: str, *arguments: str) -> str:
        """`tiphys node VERB …`; returns what it printed."""
        return self.tiphys("node", verb, *arguments).stdout

    def stop(self, name: str) -> None:
        """The host dies: every process of it at once."""
        self.node("stop", name)

    def start(self, name: str, *, wait: bool = True) -> None:
        """The host boots; with `wait`, until its node is Ready."""
        self.node("start", name, *([] if wait else ["--no-wait"]))

    def partition(self, name: str) -> None:
        self.node("partition", name)

    def heal(self, name: str) -> None:
        self.node("heal", name)

    @property
    def record(self) -> dict[str, Any]:
        """hosts.json, decoded: `subnet`, and `hosts` with name, role and address."""
        record: dict[str, Any] = json.loads((self.data_dir / "hosts.json").read_text())
        return record

    def names(self, role: str = "worker") -> list[str]:
        """Names of the hosts of a role (worker, server or etcd), in order."""
        return [host["name"] for host in self.record["hosts"] if host["role"] == role]

    def address(self, name: str) -> str:
        """A host's address on the network between hosts; "machine" is where the test runs."""
        if name == "machine":
            return f"{self.record['subnet'].rpartition('.')[0]}.1"
        return str(next(host["address"] for host in self.record["hosts"] if host["name"] == name))

    def host_dir(self, name: str) -> Path:
        """A host's disk: its data directory."""
        return self.data_dir / "hosts" / name

    def namespace_path(self, name: str) -> Path:
        return Path(f"/run/netns/tiphys-{self.cluster_id}-{name}")

    def on(self, name: str, *command: str, timeout_seconds: float = 30) -> subprocess.CompletedProcess[str]:
        """Run a command with a host's network; "machine" is outside of the cluster. Never raises for its exit code."""
        enter = [] if name == "machine" else ["nsenter", f"--net={self.namespace_path(name)}"]
        return subprocess.run(
            [*enter, *command], capture_output=True, text=True, check=False, timeout=timeout_seconds, env=_no_proxies()
        )

    def fetch(
        self, url: str, *, frm: str = "machine", headers: dict[str, str] | None = None, timeout_seconds: float = 3
    ) -> tuple[int, str]:
        """GET `url` from a host: status and body; status 0 and the reason when there is no answer."""
        lines = [f"{key}: {value}" for key, value in (headers or {}).items()]
        done = self.on(frm, sys.executable, "-I", "-c", _FETCH, url, str(timeout_seconds), *lines)
        status, _, body = done.stdout.partition("\n")
        assert done.returncode == 0, done.stderr
        return int(status), body

    def ready(self) -> dict[str, bool]:
        """Node name to whether it is Ready."""

        def is_ready(node: dict[str, Any]) -> bool:
            return any(one["type"] == "Ready" and one["status"] == "True" for one in node["status"]["conditions"])

        return {node["metadata"]["name"]: is_ready(node) for node in self.get("nodes")["items"]}

    def pods_on(self, name: str, namespace: str) -> list[str]:
        """Names of a namespace's pods on a node."""
        pods = self.get("pods", "-n", namespace, "--field-selector", f"spec.nodeName={name}")["items"]
        return [pod["metadata"]["name"] for pod in pods]

    def restore(self) -> None:
        """Boot and heal every host, and wait for all nodes: for after a test that broke some."""
        for host in self.record["hosts"]:
            name = host["name"]
            if not (self.host_dir(name) / "supervisor.sock").exists():
                self.start(name)
            self.on("machine", "ip", "link", "set", f"tip{self.cluster_id}-{host['address'].rpartition('.')[2]}", "up")
        for name in self.names():
            self.kubectl("uncordon", name, check=False)
        eventually(lambda: all(self.ready().get(name) for name in self.names()), "all nodes are Ready again", 90)

    def logs(self) -> str:
        """The end of every host's logs too."""
        parts = [super().logs()]
        for path in sorted(self.data_dir.glob("hosts/*/logs/*.log")):
            end = path.read_text(errors="replace").splitlines()[-15:]
            parts.append("\n".join([f"--- {path.parent.parent.name}/{path.name}", *end]))
        return "\n".join(parts)

    def ids(self) -> list[str]:
        """What names links, tables and cgroups of the cluster and of each of its hosts."""
        folders = [self.data_dir, *(self.host_dir(host["name"]) for host in self.record["hosts"])]
        return [hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8] for folder in folders]


def traces(data_dir: Path, ids: list[str], subnet: str) -> list[str]:
    """What is left on the machine of a cluster that was taken down: one line each, none if it went without trace."""

    def output(*command: str) -> list[str]:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30).stdout.splitlines()

    found = [f"link {line}" for line in output("ip", "-o", "link")]
    found += [f"table {line}" for line in output("nft", "list", "tables")]
    found += [f"mount {line}" for line in Path("/proc/mounts").read_text().splitlines()]
    found += [f"cgroup {path}" for path in Path("/sys/fs/cgroup").glob("*/*")]
    found += [f"namespace {path}" for path in Path("/run/netns").glob("*")]
    found += [f"cni {path}" for path in Path("/var/lib/cni/results").glob("*")]
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(
                f"process {path.parent.name} {path.read_bytes().replace(bytes(1), b' ').decode(errors='replace')}"
            )
        except (FileNotFoundError, ProcessLookupError):
            continue
    found.append(f"directory {data_dir}" if data_dir.exists() else "")
    prefix = subnet.rpartition(".")[0] + "."
    marks = [*ids, str(data_dir)]
    left = [line for line in found if any(mark in line for mark in marks)]
    return left + [f"route {line}" for line in output("ip", "route") if prefix in line]


def _no_proxies() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
