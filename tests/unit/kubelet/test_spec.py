"""From a pod's spec to what the runtime is asked for."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.unit.kubelet.player import container, pod
from tiphys.api import codec
from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import ConfigMap, Pod, Secret, Service
from tiphys.cri.types import DnsConfig, Image, NamespaceMode, ProfileType
from tiphys.kubelet.lifecycle.qos import oom_score_adjustment, pod_resources, qos_class, quota_of, shares_of, weight_of
from tiphys.kubelet.spec.container import container_config
from tiphys.kubelet.spec.dns import hosts_file, parse_resolv_conf, pod_dns
from tiphys.kubelet.spec.downward import FieldError, NodeFacts, field_value
from tiphys.kubelet.spec.environment import ConfigError, environment
from tiphys.kubelet.spec.expansion import MissingVariable, expand_from, expand_strictly
from tiphys.kubelet.spec.names import hostname_of
from tiphys.kubelet.spec.sandbox import sandbox_config
from tiphys.kubelet.spec.security import container_security
from tiphys.kubelet.spec.services import service_environment

FACTS = NodeFacts("10.0.0.1", ("10.244.0.5",), {"cpu": Quantity("4"), "memory": Quantity("8Gi")})
NODE_DNS = DnsConfig(("192.0.2.53",), ("example.org",), ("ndots:1",))


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)", "a"),
        ("$$(A)", "$(A)"),
        ("$(NOPE)", "$(NOPE)"),
        ("$(A", "$(A"),
        ("x$(A)$(B)$", "xab$"),
        ("$A $5", "$A $5"),
        ("$$$(A)", "$a"),
    ],
)
def test_expansion(text: str, expanded: str) -> None:
    assert expand_from(text, {"A": "a", "B": "b"}) == expanded


def test_sub_paths_must_know_their_variables() -> None:
    assert expand_strictly("x/$(A)", {"A": "a"}) == "x/a"
    with pytest.raises(MissingVariable, match="missing value for 'B'"):
        expand_strictly("$(B)", {"A": "a"})


def service(name: str, ip: str, *ports: dict[str, Any], namespace: str = "ns") -> Service:
    body = {"metadata": {"name": name, "namespace": namespace}, "spec": {"clusterIP": ip, "ports": list(ports)}}
    return codec.from_dict(Service, body)


def test_services_become_variables() -> None:
    ports = ({"port": 6379, "protocol": "TCP", "name": "client"}, {"port": 53, "protocol": "UDP"})
    variables = service_environment([service("redis-primary", "10.0.0.11", *ports)], "ns", links=True)
    assert variables == {
        "REDIS_PRIMARY_SERVICE_HOST": "10.0.0.11",
        "REDIS_PRIMARY_SERVICE_PORT": "6379",
        "REDIS_PRIMARY_SERVICE_PORT_CLIENT": "6379",
        "REDIS_PRIMARY_PORT": "tcp://10.0.0.11:6379",
        "REDIS_PRIMARY_PORT_6379_TCP": "tcp://10.0.0.11:6379",
        "REDIS_PRIMARY_PORT_6379_TCP_PROTO": "tcp",
        "REDIS_PRIMARY_PORT_6379_TCP_PORT": "6379",
        "REDIS_PRIMARY_PORT_6379_TCP_ADDR": "10.0.0.11",
        "REDIS_PRIMARY_PORT_53_UDP": "udp://10.0.0.11:53",
        "REDIS_PRIMARY_PORT_53_UDP_PROTO": "udp",
        "REDIS_PRIMARY_PORT_53_UDP_PORT": "53",
        "REDIS_PRIMARY_PORT_53_UDP_ADDR": "10.0.0.11",
    }


def test_without_links_only_the_apiserver_is_named_and_headless_services_never_are() -> None:
    services = [
        service("kubernetes", "10.96.0.1", {"port": 443}, namespace="default"),
        service("own", "10.0.0.1", {"port": 1}),
        service("headless", "None", {"port": 1}),
        service("other", "10.0.0.2", {"port": 1}, namespace="elsewhere"),
    ]
    assert {k for k in service_environment(services, "ns", links=False) if k.endswith("HOST")} == {
        "KUBERNETES_SERVICE_HOST"
    }
    assert {k for k in service_environment(services, "ns", links=True) if k.endswith("HOST")} == {
        "KUBERNETES_SERVICE_HOST",
        "OWN_SERVICE_HOST",
    }


def variables_of(spec: dict[str, Any], objects: dict[tuple[str, str], ConfigMap | Secret]) -> dict[str, str]:
    subject = pod({"containers": [container("web", **spec)]})
    return environment(subject, subject.spec.containers[0], (), lambda kind, name: objects.get((kind, name)), FACTS)


def test_environment_from_all_sources_in_order() -> None:
    objects: dict[tuple[str, str], ConfigMap | Secret] = {
        ("ConfigMap", "cm"): ConfigMap(data={"k": "v", "A": "from map", "bad=name": "x"}),
        ("Secret", "s"): Secret(data={"pw": base64.b64encode(b"geheim").decode()}),
    }
    spec = {
        "envFrom": [{"configMapRef": {"name": "cm"}}, {"secretRef": {"name": "s"}, "prefix": "S_"}],
        "env": [
            {"name": "A", "value": "own"},
            {"name": "B", "value": "$(A)-$(k)"},
            {"name": "C", "valueFrom": {"secretKeyRef": {"name": "s", "key": "pw"}}},
            {"name": "D", "valueFrom": {"configMapKeyRef": {"name": "gone", "key": "x", "optional": True}}},
            {"name": "E", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "F", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        ],
    }
    assert variables_of(spec, objects) == {
        "k": "v",
        "S_pw": "geheim",
        "A": "own",
        "B": "own-v",
        "C": "geheim",
        "E": "10.244.0.5",
        "F": "4",
    }


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"envFrom": [{"configMapRef": {"name": "x"}}]}, 'configmap "x" not found'),
        ({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "x", "key": "k"}}}]}, 'secret "x" not found'),
        (
            {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "k"}}}]},
            "couldn't find key k in ConfigMap ns/cm",
        ),
    ],
)
def test_what_is_missing_is_named(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        variables_of(spec, {("ConfigMap", "cm"): ConfigMap()})


def test_fields_of_the_pod() -> None:
    subject = pod(labels={"app": "web"}, annotations={"a": 'say "hi"\n', "b": "2"})
    assert field_value(subject, "metadata.labels['app']", FACTS) == "web"
    assert field_value(subject, "metadata.annotations", FACTS) == 'a="say \\"hi\\"\\n"\nb="2"'
    assert field_value(subject, "status.hostIP", FACTS) == "10.0.0.1"
    with pytest.raises(FieldError):
        field_value(subject, "spec.nonsense", FACTS)


def test_cluster_first_dns_and_its_refinement() -> None:
    assert pod_dns(pod(), NODE_DNS, ("10.96.0.10",), "cluster.local") == DnsConfig(
        ("10.96.0.10",), ("ns.svc.cluster.local", "svc.cluster.local", "cluster.local", "example.org"), ("ndots:5",)
    )
    refined = {
        "dnsConfig": {"nameservers": ["1.1.1.1"], "searches": ["x"], "options": [{"name": "ndots", "value": "2"}]}
    }
    made = pod_dns(pod(refined), NODE_DNS, ("10.96.0.10",), "cluster.local")
    assert made.servers == ("10.96.0.10", "1.1.1.1")
    assert made.searches[-1] == "x"
    assert made.options == ("ndots:2",)


def test_other_dns_policies() -> None:
    assert pod_dns(pod({"dnsPolicy": "Default"}), NODE_DNS, ("10.96.0.10",), "cluster.local") == NODE_DNS
    assert pod_dns(pod({"hostNetwork": True}), NODE_DNS, ("10.96.0.10",), "cluster.local") == NODE_DNS
    none = {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["9.9.9.9"]}}
    assert pod_dns(pod(none), NODE_DNS, ("10.96.0.10",), "cluster.local") == DnsConfig(("9.9.9.9",))
    both = {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"}
    assert pod_dns(pod(both), NODE_DNS, ("10.96.0.10",), "cluster.local").servers == ("10.96.0.10",)


def test_resolv_conf_is_read_as_resolvers_do() -> None:
    text = "# c\nnameserver 1.1.1.1 # x\nsearch a\nnameserver 8.8.8.8\nsearch b. c\noptions ndots:3 rotate\n"
    assert parse_resolv_conf(text) == DnsConfig(("1.1.1.1", "8.8.8.8"), ("b", "c"), ("ndots:3", "rotate"))


def test_hosts_file_names_the_pod_and_its_aliases() -> None:
    subject = pod({"hostname": "h", "subdomain": "s", "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a", "b"]}]})
    hostname, domain = hostname_of(subject, "cluster.local")
    text = hosts_file(subject, ("10.244.0.5",), hostname, domain, "")
    assert "10.244.0.5\th.s.ns.svc.cluster.local\th\n" in text
    assert text.endswith("# Entries added by HostAliases.\n1.2.3.4\ta\tb\n")
    assert "node-line" in hosts_file(pod({"hostNetwork": True}), (), "h", "", "node-line\n")


@pytest.mark.parametrize(
    ("resources", "quality"),
    [
        ([{}], "BestEffort"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}}], "Guaranteed"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m", "memory": "1Gi"}}], "Burstable"),
        ([{"requests": {"cpu": "1"}}], "Burstable"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}}, {}], "Burstable"),
    ],
)
def test_qos_class(resources: list[dict[str, Any]], quality: str) -> None:
    subject = pod({"containers": [container(f"c{i}", resources=r) for i, r in enumerate(resources)]})
    assert qos_class(subject) == quality


def test_pod_resources_are_the_largest_step_of_the_pods_life() -> None:
    spec = {
        "initContainers": [
            container("big", resources={"requests": {"cpu": "3"}}),
            container("side", restartPolicy="Always", resources={"requests": {"cpu": "500m"}}),
        ],
        "containers": [container("a", resources={"requests": {"cpu": "1"}}), container("b")],
        "overhead": {"cpu": "100m"},
    }
    total = pod_resources(pod(spec))
    assert total.cpu_request_millis == 3100
    assert total.cpu_limit_millis == 100 or total.cpu_limit_millis == 0


def test_shares_and_quotas() -> None:
    assert (shares_of(0), shares_of(500), shares_of(10**9)) == (2, 512, 262144)
    assert (quota_of(0), quota_of(250), quota_of(1)) == (0, 25000, 1000)
    assert (weight_of(2), weight_of(1024), weight_of(262144)) == (1, 39, 10000)


def test_oom_scores() -> None:
    subject = pod({"containers": [container("a", resources={"requests": {"memory": "1Gi"}}), container("b")]})
    first, second = subject.spec.containers
    assert oom_score_adjustment(subject, first, 4 << 30) == 750
    assert oom_score_adjustment(subject, second, 4 << 30) == 999
    assert oom_score_adjustment(pod(), pod().spec.containers[0], 4 << 30) == 1000


def security(spec: dict[str, Any], own: dict[str, Any], image: Image | None = None) -> Any:
    subject = pod({**spec, "containers": [container("web", securityContext=own)]})
    return container_security(subject, subject.spec.containers[0], image)


def test_the_containers_security_context_wins_over_the_pods() -> None:
    shared = {"securityContext": {"runAsUser": 1, "runAsGroup": 2, "fsGroup": 3, "supplementalGroups": [4]}}
    made = security(shared, {"runAsUser": 9, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}})
    assert (made.run_as_user, made.run_as_group, made.supplemental_groups) == (9, 2, (4, 3))
    assert made.no_new_privileges
    assert made.drop_capabilities == ("ALL",)
    assert made.seccomp.type is ProfileType.UNCONFINED
    assert "/proc/kcore" in made.masked_paths


def test_privileged_containers_see_everything() -> None:
    made = security({"hostPID": True, "hostNetwork": True}, {"privileged": True})
    assert made.privileged
    assert made.masked_paths == ()
    assert made.seccomp is None
    assert made.namespaces.network is NamespaceMode.NODE
    assert made.namespaces.pid is NamespaceMode.NODE


@pytest.mark.parametrize(
    ("own", "image", "message"),
    [
        ({"runAsNonRoot": True}, Image("sha256:x"), r'image will run as root \(pod: "p_ns\(u1\)", container: '),
        ({"runAsNonRoot": True, "runAsUser": 0}, Image("sha256:x"), "container's runAsUser breaks non-root policy"),
        (
            {"runAsNonRoot": True},
            Image("sha256:x", username="web"),
            r"container has runAsNonRoot and image has non-numeric user \(web\), cannot verify user is non-root",
        ),
    ],
)
def test_run_as_non_root_is_kept(own: dict[str, Any], image: Image, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        security({}, own, image)


def test_run_as_non_root_with_a_numeric_user_is_fine() -> None:
    assert security({}, {"runAsNonRoot": True}, Image("sha256:x", uid=5)).run_as_user == 5


def test_sandbox_has_host_ports_sysctls_and_the_pods_cgroup() -> None:
    ports = [{"containerPort": 80, "hostPort": 8080, "protocol": "UDP", "hostIP": "127.0.0.1"}, {"containerPort": 1}]
    spec = {
        "containers": [container("web", ports=ports)],
        "securityContext": {"sysctls": [{"name": "net.a", "value": "1"}]},
        "shareProcessNamespace": True,
    }
    made = sandbox_config(
        pod(spec), attempt=2, dns=NODE_DNS, log_root="/logs", cgroup_parent="/kubepods/podu1", cluster_domain="c"
    )
    assert made.log_directory == "/logs/ns_p_u1"
    assert [(m.container_port, m.host_port, m.protocol.name, m.host_ip) for m in made.port_mappings] == [
        (80, 8080, "UDP", "127.0.0.1")
    ]
    assert made.sysctls == {"net.a": "1"}
    assert made.security.namespaces.pid is NamespaceMode.POD
    assert made.labels["io.kubernetes.pod.uid"] == "u1"
    assert (made.attempt, made.cgroup_parent, made.hostname) == (2, "/kubepods/podu1", "p")


def test_a_container_knows_its_command_resources_and_log() -> None:
    resources = {"requests": {"cpu": "250m"}, "limits": {"cpu": "1", "memory": "64Mi"}}
    subject = pod({"containers": [container("web", command=["$(A)"], args=["$(B)"], tty=True, resources=resources)]})
    made = container_config(
        subject,
        subject.spec.containers[0],
        attempt=3,
        image_ref="sha256:x",
        image=None,
        variables={"A": "run"},
        mounts=(),
        memory_capacity_bytes=1 << 30,
    )
    assert (made.command, made.args) == (("run",), ("$(B)",))
    assert made.log_path == "web/3.log"
    assert made.tty
    assert made.resources.cpu_shares == 256
    assert made.resources.cpu_quota_microseconds == 100_000
    assert made.resources.memory_limit_bytes == 64 << 20
    assert made.annotations["io.kubernetes.container.restartCount"] == "3"


def test_hostnames_are_cut_to_what_a_kernel_takes() -> None:
    long: Pod = pod(name="x" * 62 + "-y" * 10)
    hostname, domain = hostname_of(long, "cluster.local")
    assert hostname == "x" * 62
    assert domain == ""
