"""Servers on every host that say who they are and who asks, for tests of networks and publishing."""

from __future__ import annotations

from typing import Any

from tests.e2e.cluster import eventually
from tests.e2e.hosts import HostsCluster
from tests.e2e.manifests import BUSYBOX

PORT = 8080
_SERVE = """
mkdir -p /www/cgi-bin
cat > /www/cgi-bin/who <<'END'
#!/bin/sh
echo
echo "$(hostname) $REMOTE_ADDR ${HTTP_X_FORWARDED_FOR:--} ${HTTP_X_FORWARDED_PROTO:--}"
END
chmod +x /www/cgi-bin/who
exec httpd -f -p 8080 -h /www
"""


def pod_spec(**more: Any) -> dict[str, Any]:
    """A server of ``/cgi-bin/who``: its host name, the client's address, and what proxies say of the client."""
    container = {
        "name": "main",
        "image": BUSYBOX,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", _SERVE],
        "ports": [{"name": "http", "containerPort": PORT}],
        "readinessProbe": {"httpGet": {"path": "/cgi-bin/who", "port": "http"}, "periodSeconds": 1},
    } | more.pop("container", {})
    return {"containers": [container], "terminationGracePeriodSeconds": 1} | more


def daemon_set(name: str, **more: Any) -> dict[str, Any]:
    """One server a host."""
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod_spec(**more)},
        },
    }


def pod(name: str, **more: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": more.pop("app", name)}},
        "spec": pod_spec(**more),
    }


def service(name: str, *, app: str = "web", **spec: Any) -> dict[str, Any]:
    ports = [{"name": "http", "port": 80, "targetPort": "http"}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": app}, "ports": ports} | spec,
    }


def said(body: str) -> tuple[str, str]:
    """The server's name and the client's address as it sees it (httpd listens on IPv6, and writes IPv4 as of it)."""
    words = body.split()
    return words[0], words[1].strip("[]").removeprefix("::ffff:")


def holder(cluster: HostsCluster, address: str) -> str:
    """The host that answers for a balancer's address, as its neighbours on the link believe."""

    def by_hardware_address() -> str:
        cluster.fetch(f"http://{address}/")
        neighbour = cluster.on("machine", "ip", "neigh", "show", address).stdout.split()
        if "lladdr" not in neighbour:
            return ""
        mac = neighbour[neighbour.index("lladdr") + 1]
        links = {host: cluster.on(host, "ip", "-br", "link", "show", "eth0").stdout for host in cluster.names()}
        return next((host for host, link in links.items() if mac in link), "")

    return str(eventually(by_hardware_address, "a host answers for the address", 10))


class Servers:
    """The pods of the DaemonSet ``web`` in a namespace: one on each host."""

    def __init__(self, cluster: HostsCluster, namespace: str, name: str = "web") -> None:
        self.cluster, self.namespace, self.name = cluster, namespace, name
        cluster.apply(daemon_set(name), namespace)
        cluster.kubectl("rollout", "status", f"daemonset/{name}", "-n", namespace, "--timeout=60s")
        self.pods: dict[str, dict[str, Any]] = {}
        self.look()

    def look(self) -> None:
        """Which pods there are now."""
        found = self.cluster.get("pods", "-n", self.namespace, "-l", f"app={self.name}")["items"]
        self.pods = {pod["spec"]["nodeName"]: pod for pod in found if "deletionTimestamp" not in pod["metadata"]}

    def pod_name(self, host: str) -> str:
        return str(self.pods[host]["metadata"]["name"])

    def pod_ip(self, host: str) -> str:
        return str(self.pods[host]["status"]["podIP"])

    def names(self) -> set[str]:
        return {self.pod_name(host) for host in self.pods}

    def publish(self, name: str, **spec: Any) -> dict[str, Any]:
        """A Service of the servers; returns it as the apiserver has it."""
        self.cluster.apply(service(name, app=self.name, **spec), self.namespace)
        found: dict[str, Any] = self.cluster.get("service", name, "-n", self.namespace)
        return found

    def balanced(self, name: str, **spec: Any) -> str:
        """The address of a Service of type LoadBalancer, once it has one."""
        self.publish(name, type="LoadBalancer", **spec)
        return str(eventually(lambda: self.ingress(name), "the Service has an address", 15))

    def ingress(self, name: str) -> str:
        status = self.cluster.get("service", name, "-n", self.namespace)["status"].get("loadBalancer", {})
        return next((i["ip"] for i in status.get("ingress", ())), "")

    def who(self, address: str, *, frm: str = "machine", port: int = 80) -> tuple[str, str]:
        """Which pod answers a host at ``address:port``, and as whom it sees the client; ("", why) for no answer."""
        status, body = self.cluster.fetch(f"http://{address}:{port}/cgi-bin/who", frm=frm)
        return said(body) if status == 200 else ("", body.strip())

    def who_in_pod(self, host: str, address: str, port: int = 80) -> tuple[str, str]:
        """The same as a pod asks."""
        done = self.cluster.kubectl(
            "exec", "-n", self.namespace, self.pod_name(host), "--",
            "wget", "-q", "-T", "3", "-O", "-", f"http://{address}:{port}/cgi-bin/who", check=False,
        )  # fmt: skip
        return said(done.stdout) if done.returncode == 0 else ("", done.stderr.strip())
