"""What a pod gets on a node: volumes, environment, probes, order, termination, and its way to Services and names."""

from __future__ import annotations

import base64
import json
import subprocess
import urllib.request

from tests.e2e.cluster import Cluster, eventually
from tests.e2e.manifests import BUSYBOX, deployment, pod, service


def finished(cluster: Cluster, namespace: str, name: str) -> str:
    """The output of a pod that ran to success."""
    cluster.kubectl("wait", f"pod/{name}", "--for=jsonpath={.status.phase}=Succeeded", "-n", namespace, "--timeout=60s")
    return cluster.output("logs", name, "-n", namespace)


def test_configuration_reaches_env_and_files(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("create", "configmap", "settings", "--from-literal=colour=blue", "-n", namespace)
    cluster.kubectl("create", "secret", "generic", "keys", "--from-literal=token=s3cret", "-n", namespace)
    container = {
        "env": [
            {"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "colour"}}},
            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "token"}}},
            {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {"name": "LIMIT", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory"}}},
            {"name": "JOINED", "value": "$(COLOUR)-$(TOKEN)"},
        ],
        "resources": {"limits": {"memory": "64Mi"}},
        "volumeMounts": [
            {"name": "c", "mountPath": "/c"}, {"name": "s", "mountPath": "/s"},
            {"name": "e", "mountPath": "/e"}, {"name": "d", "mountPath": "/d"},
        ],
    }  # fmt: skip
    volumes = [
        {"name": "c", "configMap": {"name": "settings"}},
        {"name": "s", "secret": {"secretName": "keys", "defaultMode": 0o400}},
        {"name": "e", "emptyDir": {"medium": "Memory"}},
        {"name": "d", "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
    ]
    script = (
        "echo $COLOUR $TOKEN $NODE $LIMIT $JOINED; cat /c/colour; echo; cat /s/token; echo; stat -Lc %a /s/token;"
        "touch /e/x && grep -c ' /e tmpfs' /proc/mounts; cat /d/labels; echo;"
        "cat /var/run/secrets/kubernetes.io/serviceaccount/namespace"
    )
    cluster.apply(
        pod("reader", ["sh", "-c", script], container=container, volumes=volumes, restartPolicy="Never"), namespace
    )
    node = cluster.get("nodes")["items"][0]["metadata"]["name"]
    assert finished(cluster, namespace, "reader").splitlines() == [
        f"blue s3cret {node} 67108864 blue-s3cret", "blue", "s3cret", "400", "1", 'app="reader"', namespace,
    ]  # fmt: skip


def test_a_changed_configmap_reaches_a_running_container(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("create", "configmap", "settings", "--from-literal=colour=blue", "-n", namespace)
    volumes = [{"name": "c", "configMap": {"name": "settings"}}]
    container = {"volumeMounts": [{"name": "c", "mountPath": "/c"}]}
    cluster.apply(pod("reader", ["sleep", "3600"], container=container, volumes=volumes), namespace)
    cluster.kubectl("wait", "pod/reader", "--for=condition=Ready", "-n", namespace, "--timeout=60s")
    cluster.kubectl("patch", "configmap", "settings", "-n", namespace, "-p", '{"data":{"colour":"green"}}')
    eventually(
        lambda: cluster.output("exec", "reader", "-n", namespace, "--", "cat", "/c/colour") == "green",
        "green arrives",
        90,
    )


def test_the_token_of_a_pod_works_at_the_apiserver(cluster: Cluster, namespace: str) -> None:
    cluster.apply(pod("caller", ["sleep", "3600"]), namespace)
    cluster.kubectl("wait", "pod/caller", "--for=condition=Ready", "-n", namespace, "--timeout=60s")
    token = cluster.output(
        "exec", "caller", "-n", namespace, "--", "cat", "/var/run/secrets/kubernetes.io/serviceaccount/token"
    )
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert claims["sub"] == f"system:serviceaccount:{namespace}:default"
    assert claims["kubernetes.io"]["pod"]["name"] == "caller"
    done = cluster.kubectl(
        "auth", "whoami", "--token", token, "-o", "json", "--kubeconfig", "/dev/null",
        "--server", cluster.output("config", "view", "-o", "jsonpath={.clusters[0].cluster.server}"),
        "--insecure-skip-tls-verify",
    )  # fmt: skip
    assert json.loads(done.stdout)["status"]["userInfo"]["username"] == claims["sub"]


def test_init_containers_run_in_order_before_the_rest(cluster: Cluster, namespace: str) -> None:
    mount = {"volumeMounts": [{"name": "d", "mountPath": "/d"}]}
    inits = [
        {"name": name, "image": BUSYBOX, "imagePullPolicy": "IfNotPresent",
         "command": ["sh", "-c", f"echo {name} >> /d/order"]} | mount
        for name in ("first", "second")
    ]  # fmt: skip
    cluster.apply(
        pod(
            "ordered", ["sh", "-c", "cat /d/order"], container=mount, initContainers=inits, restartPolicy="Never",
            volumes=[{"name": "d", "emptyDir": {}}],
        ),
        namespace,
    )  # fmt: skip
    assert finished(cluster, namespace, "ordered").splitlines() == ["first", "second"]


def test_a_failing_liveness_probe_restarts_the_container(cluster: Cluster, namespace: str) -> None:
    probe = {"exec": {"command": ["test", "-e", "/tmp/alive"]}, "periodSeconds": 1, "failureThreshold": 2}
    cluster.apply(
        pod(
            "sick",
            ["sh", "-c", "touch /tmp/alive; sleep 3; rm /tmp/alive; sleep 3600"],
            container={"livenessProbe": probe},
        ),
        namespace,
    )

    def restarts() -> int:
        statuses = cluster.get("pod", "sick", "-n", namespace)["status"].get("containerStatuses", [])
        return int(statuses[0]["restartCount"]) if statuses else 0

    eventually(lambda: restarts() >= 1, "the container is restarted")
    reasons = {event["reason"] for event in cluster.get("events", "-n", namespace)["items"]}
    assert {"Unhealthy", "Killing"} <= reasons


def test_readiness_decides_who_gets_traffic(cluster: Cluster, namespace: str) -> None:
    probe = {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1, "failureThreshold": 1}
    cluster.apply(deployment("web", 2, readinessProbe=probe), namespace)
    cluster.apply(service("web"), namespace)

    def endpoints() -> list[str]:
        slices = cluster.get("endpointslices", "-n", namespace, "-l", "kubernetes.io/service-name=web")["items"]
        return [
            address
            for one in slices
            for endpoint in one.get("endpoints") or []
            for address in endpoint["addresses"]
            if endpoint["conditions"]["ready"]
        ]

    cluster.kubectl(
        "wait", "pod", "-l", "app=web", "--for=jsonpath={.status.phase}=Running", "-n", namespace, "--timeout=60s"
    )
    assert endpoints() == []
    first = cluster.output("get", "pods", "-n", namespace, "-l", "app=web", "-o", "name").splitlines()[0]
    cluster.kubectl("exec", first, "-n", namespace, "--", "touch", "/tmp/ready")
    eventually(lambda: len(endpoints()) == 1, "the ready pod alone is an endpoint")


def test_termination_is_graceful(cluster: Cluster, namespace: str) -> None:
    script = "trap 'echo bye; exit 0' TERM; echo up; while true; do sleep 0.1; done"
    cluster.apply(pod("polite", ["sh", "-c", script], terminationGracePeriodSeconds=20), namespace)
    cluster.kubectl("wait", "pod/polite", "--for=condition=Ready", "-n", namespace, "--timeout=60s")
    follow = cluster.kubectl_command("logs", "-f", "polite", "-n", namespace)
    with subprocess.Popen(follow, stdout=subprocess.PIPE, text=True) as reader:
        cluster.kubectl("delete", "pod", "polite", "-n", namespace, "--timeout=15s")
        assert reader.stdout is not None
        assert reader.stdout.read().splitlines()[-1] == "bye"


def test_services_of_every_type_answer(cluster: Cluster, namespace: str) -> None:
    cluster.apply(deployment("web", 2), namespace)
    cluster.apply(service("web"), namespace)
    public = service("web", type="NodePort")
    public["metadata"]["name"] = "public"
    cluster.apply(public, namespace)
    headless = service("web", clusterIP="None")
    headless["metadata"]["name"] = "each"
    cluster.apply(headless, namespace)
    alias = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "alias"}}
    cluster.apply(
        alias | {"spec": {"type": "ExternalName", "externalName": f"web.{namespace}.svc.cluster.local"}}, namespace
    )
    cluster.kubectl("rollout", "status", "deployment/web", "-n", namespace, "--timeout=60s")
    cluster.apply(pod("client", ["sleep", "3600"]), namespace)
    cluster.kubectl("wait", "pod/client", "--for=condition=Ready", "-n", namespace, "--timeout=60s")

    def inside(*command: str) -> str:
        return cluster.output("exec", "client", "-n", namespace, "--", *command)

    address = cluster.get("service", "web", "-n", namespace)["spec"]["clusterIP"]
    for target in (address, "web", f"web.{namespace}", f"web.{namespace}.svc.cluster.local", "alias"):
        answer = eventually(
            lambda t=target: inside("timeout", "5", "wget", "-qO-", f"http://{t}/"), f"{target} answers"
        )
        assert answer.startswith("web-")
    seen = {inside("timeout", "5", "wget", "-qO-", "http://web/") for _ in range(30)}
    assert len(seen) == 2, "both pods get traffic"
    pods = {item["status"]["podIP"] for item in cluster.get("pods", "-n", namespace, "-l", "app=web")["items"]}
    named = inside("nslookup", f"each.{namespace}.svc.cluster.local")
    assert all(ip in named for ip in pods)
    port = cluster.get("service", "public", "-n", namespace)["spec"]["ports"][0]["nodePort"]
    node = cluster.get("nodes")["items"][0]["status"]["addresses"][0]["address"]
    with urllib.request.urlopen(f"http://{node}:{port}/", timeout=10) as response:
        assert response.read().decode().startswith("web-")


def test_a_pod_reaches_itself_through_its_service(cluster: Cluster, namespace: str) -> None:
    cluster.apply(deployment("self", 1), namespace)
    cluster.apply(service("self"), namespace)
    cluster.kubectl("rollout", "status", "deployment/self", "-n", namespace, "--timeout=60s")
    answer = eventually(
        lambda: cluster.output(
            "exec", "deploy/self", "-n", namespace, "--", "timeout", "3", "wget", "-qO-", "http://self/"
        ),
        "hairpin traffic comes back",
    )
    assert answer.startswith("self-")
