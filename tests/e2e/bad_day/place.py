"""What a bad day looks at and breaks: one cluster on hosts, its processes, its members of etcd, one small disk."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.e2e.cluster import eventually
from tests.e2e.hosts import HostsCluster
from tests.e2e.manifests import deployment, service

NAMESPACE = "bad-day"
REPLICAS = 6
CONTROLLER_LEASE = "kube-controller-manager"
_DISK_MEBIBYTES = 600
_CONVERGED_SECONDS = 150


class Place:
    """A cluster with three workers, three control planes with etcd, and the application that clients ask."""

    def __init__(self, cluster: HostsCluster) -> None:
        self.cluster = cluster
        self.workers = cluster.names()
        self.servers = cluster.names("server")
        self.address = ""
        """Of the application's Service of type LoadBalancer."""
        self.node_port = 0

    def prepare(self) -> None:
        """Start the application; the last worker moves to a disk of a known size."""
        self._move_to_small_disk(self.workers[-1])
        self.deploy()

    def deploy(self) -> None:
        """Start the application, with pods on each worker and an address of its own."""
        self.cluster.kubectl("create", "namespace", NAMESPACE)
        web = deployment("web", REPLICAS)
        web["spec"]["template"]["spec"]["topologySpreadConstraints"] = [
            {
                "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": web["spec"]["selector"],
            }
        ]  # fmt: skip
        # Clients go on asking a pod for a moment after it was told to end.
        main = web["spec"]["template"]["spec"]["containers"][0]
        main["lifecycle"] = {"preStop": {"sleep": {"seconds": 2}}}
        web["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 4
        self.cluster.apply(web, NAMESPACE)
        self.cluster.apply(service("web", type="LoadBalancer"), NAMESPACE)
        self.address, self.node_port = eventually(self._published, "the Service has an address", 30)
        self.converge()

    def _published(self) -> tuple[str, int] | None:
        found = self.cluster.get("service", "web", "-n", NAMESPACE)
        ingress = found["status"].get("loadBalancer", {}).get("ingress", ())
        return (ingress[0]["ip"], found["spec"]["ports"][0]["nodePort"]) if ingress else None

    def converge(self) -> None:
        """Wait until all is well. Raises AssertionError that names what is not."""
        eventually(self._is_well, "all is well", _CONVERGED_SECONDS)

    def _is_well(self) -> bool:
        self.trouble_free_members()
        for node in self.cluster.get("nodes")["items"]:
            name = node["metadata"]["name"]
            assert not node["spec"].get("taints"), f"{name} is tainted: {node['spec'].get('taints')}"
        missing = [name for name in self.workers if not self.cluster.ready().get(name)]
        assert not missing, f"not Ready: {missing}"
        status = self.cluster.get("deployment", "web", "-n", NAMESPACE)["status"]
        assert status.get("availableReplicas") == status.get("replicas") == REPLICAS, f"web: {status}"
        for name in self.servers:
            assert self._asks_server(name), f"the apiserver of {name} is not ready"
        return True

    def trouble_free_members(self) -> None:
        for name in self.servers:
            assert self._etcd(name, "/health").get("health") == "true", f"etcd on {name} is not healthy"

    def _asks_server(self, name: str) -> bool:
        port = self.cluster.output("config", "view", "-o", "jsonpath={.clusters[0].cluster.server}").rpartition(":")[2]
        server = f"https://{self.cluster.address(name)}:{port}"
        return self.cluster.kubectl("--server", server, "get", "--raw", "/readyz", check=False).stdout == "ok"

    def etcd_leader(self) -> str:
        """The host of the leading member."""
        for name in self.servers:
            if "etcd_server_is_leader 1" in self._etcd(name, "/metrics").get("text", ""):
                return name
        raise AssertionError("no member of etcd leads")

    def _etcd(self, name: str, path: str) -> dict[str, str]:
        folder = self.cluster.host_dir(self.servers[0]) / "pki" / "etcd"
        context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
        context.load_cert_chain(str(folder / "client.crt"), str(folder / "client.key"))
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        try:
            with opener.open(f"https://{self.cluster.address(name)}:2379{path}", timeout=3) as answer:
                text = answer.read().decode()
        except (urllib.error.URLError, OSError) as error:
            return {"error": str(error)}
        return dict(json.loads(text)) if text.startswith("{") else {"text": text}

    def lease_holder(self) -> str:
        lease: dict[str, Any] = self.cluster.get("lease", "-n", "kube-system", CONTROLLER_LEASE)
        return str(lease["spec"].get("holderIdentity", "")).partition("_")[0]

    def kill(self, host: str, process: str) -> int:
        """SIGKILL a process that a host's supervisor runs; returns the process id it had."""
        pid = self.pid(host, process)
        os.kill(pid, signal.SIGKILL)
        return pid

    def pid(self, host: str, process: str) -> int:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(str(self.cluster.host_dir(host) / "supervisor.sock"))
            report = json.loads(b"".join(iter(lambda: connection.recv(65536), b"")))
        return next(int(one["pid"] or 0) for one in report["processes"] if one["name"] == process)

    def published_on(self) -> set[str]:
        """The nodes of the application's ready endpoints."""
        slices = self.cluster.get("endpointslices", "-n", NAMESPACE, "-l", "kubernetes.io/service-name=web")["items"]
        endpoints = (endpoint for one in slices for endpoint in one.get("endpoints") or ())
        return {endpoint["nodeName"] for endpoint in endpoints if endpoint["conditions"].get("ready")}

    def ready_elsewhere(self, host: str) -> bool:
        """Whether all replicas are ready and none of them is on `host`."""
        pods = self.cluster.get("pods", "-n", NAMESPACE)["items"]
        ready = [
            pod["spec"]["nodeName"]
            for pod in pods
            if "deletionTimestamp" not in pod["metadata"]
            and any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", ()))
        ]
        return len(ready) == REPLICAS and host not in ready

    def spread(self) -> None:
        """Have replicas on each worker again: pods that moved do not move back by themselves."""
        pods = self.cluster.get("pods", "-n", NAMESPACE)["items"]
        if {pod["spec"].get("nodeName") for pod in pods} >= set(self.workers):
            return
        self.cluster.kubectl("rollout", "restart", "deployment/web", "-n", NAMESPACE)
        self.cluster.kubectl("rollout", "status", "deployment/web", "-n", NAMESPACE, "--timeout=80s")

    def stored(self) -> dict[str, str]:
        """The writers' ConfigMaps: name to number."""
        found = self.cluster.get("configmaps", "-n", NAMESPACE)["items"]
        return {one["metadata"]["name"]: one.get("data", {}).get("n", "-1") for one in found}

    def _move_to_small_disk(self, host: str) -> None:
        self.cluster.stop(host)
        folder = self.cluster.host_dir(host)
        aside = folder.with_name(f"{host}-aside")
        folder.rename(aside)
        folder.mkdir(mode=0o700)
        size = f"size={_DISK_MEBIBYTES}m,mode=0700"
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tiphys-bad-day", str(folder)], check=True, timeout=10)
        shutil.copytree(aside, folder, symlinks=True, dirs_exist_ok=True)
        shutil.rmtree(aside)
        self.cluster.start(host)

    def fill_disk(self, host: str) -> Path:
        """Write until there is no room left; returns the file that took it."""
        path: Path = self.cluster.host_dir(host) / "too-much"
        with path.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(1 << 20))
            except OSError:
                return path
