"""An Ingress with TLS on three hosts: hosts, paths, certificates, what fails, and what a reload must not break."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.e2e.cluster import eventually
from tests.e2e.hosts import HostsCluster
from tests.e2e.manifests import BUSYBOX
from tests.e2e.mission.conftest import running
from tests.e2e.mission.services import Servers, holder, service


@pytest.fixture(scope="module")
def hosts_cluster() -> Iterator[HostsCluster]:
    """A cluster of its own, which has the add-on; its `namespace` is that of all these tests."""
    with running(7, "--nodes", "3", "--ingress") as cluster:
        yield cluster


@pytest.fixture
def servers(hosts_cluster: HostsCluster, namespace: str) -> Servers:
    made = Servers(hosts_cluster, namespace)
    made.publish("web")
    return made


def certificate(host: str) -> tuple[bytes, bytes]:
    """A self-signed certificate and its key, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False).sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = serialization.Encoding.PEM
    form = (pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return made.public_bytes(pem), key.private_bytes(*form)


def ingress(name: str, *rules: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": name},
        "spec": {**({"rules": list(rules)} if rules else {}), **spec},
    }


def rule(host: str, *paths: tuple[str, str, str]) -> dict[str, Any]:
    wire = [
        {"path": path, "pathType": kind, "backend": {"service": {"name": to, "port": {"number": 80}}}}
        for path, kind, to in paths
    ]
    return {"host": host, "http": {"paths": wire}}


def address_of(servers: Servers, name: str) -> str:
    def look() -> str:
        status = servers.cluster.get("ingress", name, "-n", servers.namespace)["status"].get("loadBalancer", {})
        return next((i["ip"] for i in status.get("ingress", ())), "")

    return str(eventually(look, "the Ingress has an address", 15))


def answer(servers: Servers, address: str, host: str, path: str = "/cgi-bin/who") -> tuple[int, str]:
    return servers.cluster.fetch(f"http://{address}{path}", headers={"Host": host})


def shown(address: str, host: str) -> bytes:
    """The certificate a client is shown for the host."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection((address, 443), timeout=3) as raw,
        context.wrap_socket(raw, server_hostname=host) as s,
    ):
        return ssl.DER_cert_to_PEM_cert(s.getpeercert(binary_form=True) or b"").encode()


def put_certificate(servers: Servers, name: str, host: str) -> bytes:
    """Write a fresh certificate into the Secret; returns it."""
    chain, key = certificate(host)
    wire = {
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": "kubernetes.io/tls",
        "stringData": {"tls.crt": chain.decode(), "tls.key": key.decode()},
    }  # fmt: skip
    servers.cluster.apply(wire, servers.namespace)
    return chain


def test_hosts_and_paths_lead_where_they_say(servers: Servers) -> None:
    cluster, host = servers.cluster, "paths.example.com"
    everywhere = rule(host, ("/cgi-bin", "Prefix", "web"), ("/exact", "Exact", "web"))
    cluster.apply(ingress("paths", everywhere, rule("*.wild.example.com", ("/", "Prefix", "web"))), servers.namespace)
    address = address_of(servers, "paths")
    eventually(lambda: answer(servers, address, host)[0] == 200, "the path is served", 10)
    name, client, forwarded, scheme = answer(servers, address, host)[1].split()
    assert name in servers.names()
    assert (forwarded, scheme) == (cluster.address("machine"), "http"), "the application hears who asks"
    assert client != forwarded
    assert answer(servers, address, host, "/cgi-binary/who")[0] == 404
    assert answer(servers, address, host, "/exact")[1].strip() != "", "the server's own 404, not the proxy's"
    assert "nginx" in answer(servers, address, host, "/exact/more")[1]
    assert answer(servers, address, "a.wild.example.com")[0] == 200
    assert answer(servers, address, "a.b.wild.example.com")[0] == 404
    assert answer(servers, address, "stranger.example.com")[0] == 404
    assert len({answer(servers, address, host)[1].split()[0] for _ in range(12)}) > 1


def test_a_class_of_somebody_else_is_left_alone(servers: Servers) -> None:
    host = "foreign.example.com"
    servers.cluster.apply(
        {"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "foreign"},
         "spec": {"controller": "example.com/other"}}
    )  # fmt: skip
    wanted = ingress("foreign", rule(host, ("/", "Prefix", "web")), ingressClassName="foreign")
    servers.cluster.apply(wanted, servers.namespace)
    servers.cluster.apply(ingress("mine", rule("mine.example.com", ("/", "Prefix", "web"))), servers.namespace)
    made = servers.cluster.get("ingress", "mine", "-n", servers.namespace)
    assert made["spec"]["ingressClassName"] == "tiphys", "the default class"
    address = address_of(servers, "mine")
    eventually(lambda: answer(servers, address, "mine.example.com")[0] == 200, "ours is served", 10)
    assert answer(servers, address, host)[0] == 404


def test_tls_by_host_name_and_its_renewal(servers: Servers) -> None:
    cluster = servers.cluster
    certificates = {
        host: put_certificate(servers, host.split(".")[0], host) for host in ("one.example.com", "two.example.com")
    }
    tls = [{"hosts": [host], "secretName": host.split(".")[0]} for host in certificates]
    rules = [rule(host, ("/", "Prefix", "web")) for host in certificates]
    cluster.apply(ingress("tls", *rules, tls=tls), servers.namespace)
    address = address_of(servers, "tls")
    for host, chain in certificates.items():
        eventually(lambda host=host, chain=chain: shown(address, host) == chain, f"{host} shows its certificate", 10)
        context = ssl.create_default_context(cadata=chain.decode())
        with (
            socket.create_connection((address, 443), timeout=3) as raw,
            context.wrap_socket(raw, server_hostname=host) as s,
        ):
            s.sendall(f"GET /cgi-bin/who HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
            body = b"".join(iter(lambda s=s: s.recv(4096), b""))
        assert body.split()[-1] == b"https"
    assert shown(address, "unknown.example.com") not in certificates.values()
    fresh = put_certificate(servers, "one", "one.example.com")
    started = time.monotonic()
    eventually(lambda: shown(address, "one.example.com") == fresh, "the renewed certificate is shown", 10)
    assert time.monotonic() - started < 3


def test_what_is_broken_is_told_and_harms_nobody_else(servers: Servers) -> None:
    cluster, namespace = servers.cluster, servers.namespace
    cluster.apply(ingress("good", rule("good.example.com", ("/", "Prefix", "web"))), namespace)
    bad = ingress("bad", rule("bad.example.com", ("/", "Prefix", "nobody")), tls=[{"secretName": "missing"}])
    cluster.apply(bad, namespace)
    address = address_of(servers, "bad")
    eventually(lambda: answer(servers, address, "bad.example.com")[0] == 503, "nobody is there to answer", 10)
    assert answer(servers, address, "good.example.com")[0] == 200

    def told() -> bool:
        events = cluster.get("events", "-n", namespace)["items"]
        reasons = {e["reason"] for e in events if e["involvedObject"]["name"] == "bad"}
        return {"ServiceNotFound", "SecretNotFound"} <= reasons

    eventually(told, "events say what is wrong", 10)
    cluster.apply(service("nobody", app="web"), namespace)
    eventually(lambda: answer(servers, address, "bad.example.com")[0] == 200, "it is served once it is there", 5)


def test_a_default_backend_takes_the_rest(servers: Servers) -> None:
    backend = {"service": {"name": "web", "port": {"name": "http"}}}
    servers.cluster.apply(ingress("rest", defaultBackend=backend), servers.namespace)
    address = address_of(servers, "rest")
    eventually(lambda: answer(servers, address, "whoever.example.com")[0] == 200, "the rest is served", 10)
    servers.cluster.kubectl("delete", "ingress", "rest", "-n", servers.namespace)
    eventually(lambda: answer(servers, address, "whoever.example.com")[0] == 404, "and no more", 5)


def test_new_rules_come_fast_and_disturb_nobody(servers: Servers) -> None:
    cluster, namespace = servers.cluster, servers.namespace
    host = "busy.example.com"
    cluster.apply(ingress("busy", rule(host, ("/", "Prefix", "web"))), namespace)
    make = "dd if=/dev/zero of=/www/big bs=1M count=24 2>/dev/null"
    for node in servers.pods:
        cluster.kubectl("exec", "-n", namespace, servers.pod_name(node), "--", "sh", "-c", make)
    address = address_of(servers, "busy")
    eventually(lambda: answer(servers, address, host)[0] == 200, "it is served", 10)
    results: list[bool] = []
    ended = threading.Event()

    def ask_on() -> None:
        while not ended.is_set():
            results.append(fetched(address, host, "/cgi-bin/who") > 0)

    slow: list[int] = []
    threads = [threading.Thread(target=ask_on) for _ in range(3)]
    threads.append(threading.Thread(target=lambda: slow.append(fetched(address, host, "/big", pause_seconds=0.01))))
    for thread in threads:
        thread.start()
    took = []
    for number in range(5):
        started = time.monotonic()
        fresh = f"new-{number}.example.com"
        cluster.apply(ingress(f"new-{number}", rule(fresh, ("/", "Prefix", "web"))), namespace)
        eventually(lambda fresh=fresh: answer(servers, address, fresh)[0] == 200, "the new host is served", 10)
        took.append(time.monotonic() - started)
    ended.set()
    for thread in threads:
        thread.join(30)
    assert max(took) < 3, took
    assert all(results), f"{results.count(False)} of {len(results)} requests failed"
    assert len(results) > 50
    assert slow == [24 << 20], "a download went on through every reload"


def fetched(address: str, host: str, path: str, pause_seconds: float = 0) -> int:
    """The size of the body; -1 when the request failed."""
    try:
        with socket.create_connection((address, 80), timeout=5) as connection:
            connection.settimeout(5)
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
            data = bytearray()
            while piece := connection.recv(65536):
                data += piece
                time.sleep(pause_seconds)
    except OSError:
        return -1
    head, _, body = bytes(data).partition(b"\r\n\r\n")
    return len(body) if b" 200 " in head.splitlines()[0] else -1


WEBSOCKET = """
while true; do
  nc -l -p 8081 -e sh -c '
    while IFS= read -r line; do [ "$line" = "$(printf "\\r")" ] && break; done
    printf "HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n\\r\\n"
    cat'
done
"""


def test_upgraded_connections_pass_and_survive_reloads(servers: Servers) -> None:
    cluster, namespace = servers.cluster, servers.namespace
    container = {
        "name": "main",
        "image": BUSYBOX,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", WEBSOCKET],
    }
    meta = {"name": "echo", "labels": {"app": "echo"}}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}, namespace)
    cluster.apply(service("echo", app="echo", ports=[{"port": 80, "targetPort": 8081}]), namespace)
    cluster.kubectl("wait", "--for=condition=Ready", "pod/echo", "-n", namespace, "--timeout=30s")
    host = "ws.example.com"
    cluster.apply(ingress("ws", rule(host, ("/", "Prefix", "echo"))), namespace)
    address = address_of(servers, "ws")
    connection = eventually(lambda: upgraded(address, host), "the upgrade passes", 10)
    with connection:
        for number in range(3):
            cluster.apply(ingress(f"more-{number}", rule(f"m{number}.example.com", ("/", "Prefix", "web"))), namespace)
            eventually(lambda n=number: answer(servers, address, f"m{n}.example.com")[0] == 200, "another rule", 10)
            connection.sendall(b"still there?\n")
            assert connection.recv(100) == b"still there?\n"


def upgraded(address: str, host: str) -> socket.socket | None:
    connection = socket.create_connection((address, 80), timeout=3)
    head = f"GET / HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    connection.sendall(head.encode())
    try:
        if connection.recv(4096).startswith(b"HTTP/1.1 101"):
            return connection
    except OSError:
        pass
    connection.close()
    return None


def test_the_address_survives_a_hosts_death(whole_hosts: HostsCluster, servers: Servers) -> None:
    host = "alive.example.com"
    whole_hosts.apply(ingress("alive", rule(host, ("/", "Prefix", "web"))), servers.namespace)
    address = address_of(servers, "alive")
    eventually(lambda: answer(servers, address, host)[0] == 200, "it is served", 10)
    first = holder(whole_hosts, address)
    whole_hosts.stop(first)
    died = time.monotonic()
    eventually(lambda: answer(servers, address, host)[0] == 200, "another host's proxy answers", 20)
    assert time.monotonic() - died < 10
