"""Two people with kubeconfigs of their own: each works in one namespace, sees no other, and cannot take the node."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import BIN, Cluster, eventually
from tests.e2e.manifests import BUSYBOX, pod


class Person:
    """kubectl as somebody."""

    def __init__(self, name: str, kubeconfig: Path) -> None:
        self.name = name
        self.kubeconfig = kubeconfig

    def kubectl(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        command = [str(BIN / "kubectl"), "--kubeconfig", str(self.kubeconfig), *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)

    def may(self, *question: str) -> bool:
        return self.kubectl("auth", "can-i", *question).stdout.strip() == "yes"

    def apply(self, manifest: object) -> subprocess.CompletedProcess[str]:
        return self.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))


@pytest.fixture(name="people", scope="module")
def _people(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Person, Person]]:
    folder = tmp_path_factory.mktemp("people")
    made = []
    for name, namespace in (("jane", "team-a"), ("joe", "team-b")):
        path = folder / f"{name}.kubeconfig"
        cluster.tiphys(
            "user", "create", name, "--namespace", namespace, "--role", "edit", "--quota-cpu", "1", "--quota-pods", "3",
            "--output", str(path),
        )  # fmt: skip
        assert path.stat().st_mode & 0o777 == 0o600
        made.append(Person(name, path))
    yield made[0], made[1]
    cluster.kubectl("delete", "namespace", "team-a", "team-b", "--wait=false")


def test_each_is_who_the_certificate_says(people: tuple[Person, Person]) -> None:
    jane, joe = people
    for person in (jane, joe):
        shown = json.loads(person.kubectl("auth", "whoami", "-o", "json").stdout)["status"]["userInfo"]
        assert shown["username"] == person.name and shown["groups"] == ["system:authenticated"]


def test_each_works_in_their_own_namespace_and_sees_no_other(cluster: Cluster, people: tuple[Person, Person]) -> None:
    jane, joe = people
    assert jane.kubectl("create", "configmap", "mine", "--from-literal=a=b").returncode == 0
    assert jane.kubectl("create", "secret", "generic", "hidden", "--from-literal=a=b").returncode == 0
    assert "mine" in jane.kubectl("get", "configmaps").stdout
    for arguments in (
        ("get", "configmaps"),
        ("get", "secret", "hidden"),
        ("get", "pods"),
        ("delete", "configmap", "mine"),
        ("create", "configmap", "theirs"),
        ("get", "events"),
    ):
        refused = joe.kubectl(*arguments, "-n", "team-a")
        assert refused.returncode != 0 and "forbidden" in refused.stderr.lower(), arguments
        assert "hidden" not in refused.stdout
    for elsewhere in (("nodes",), ("namespaces",), ("pods", "-A"), ("secrets", "-n", "kube-system"), ("csr",)):
        assert "Forbidden" in joe.kubectl("get", *elsewhere).stderr, elsewhere
    assert joe.may("create", "deployments") and not joe.may("create", "deployments", "-n", "team-a")
    assert not joe.may("create", "rolebindings") and not joe.may("*", "*") and not joe.may("delete", "resourcequotas")
    assert not joe.may("update", "namespaces/team-b") and not joe.may("approve", "signers.certificates.k8s.io")


def test_a_user_runs_pods_and_cannot_take_the_node(cluster: Cluster, people: tuple[Person, Person]) -> None:
    jane, _ = people
    container = {"resources": {"requests": {"cpu": "10m"}, "limits": {"cpu": "100m"}}}
    assert jane.apply(pod("fine", ["sleep", "1000"], container=container)).returncode == 0
    assert jane.kubectl("wait", "pod/fine", "--for=condition=Ready", "--timeout=60s").returncode == 0
    assert jane.kubectl("exec", "fine", "--", "id", "-u").stdout.strip() == "0"
    for spec, says in (
        ({"hostNetwork": True}, "host namespaces (hostNetwork=true)"),
        ({"hostPID": True}, "host namespaces (hostPID=true)"),
        ({"volumes": [{"name": "root", "hostPath": {"path": "/"}}]}, 'hostPath volumes (volume "root")'),
    ):
        refused = jane.apply(pod("bad", ["sleep", "1"], **spec))
        assert refused.returncode != 0 and f'violates PodSecurity "baseline:latest": {says}' in refused.stderr
    privileged = pod("bad", ["sleep", "1"], container={"securityContext": {"privileged": True}})
    assert "privileged" in jane.apply(privileged).stderr
    label = jane.kubectl("label", "namespace", "team-a", "pod-security.kubernetes.io/enforce=privileged", "--overwrite")
    assert label.returncode != 0 and "Forbidden" in label.stderr


def test_a_user_cannot_starve_the_other(people: tuple[Person, Person]) -> None:
    _, joe = people
    made = joe.kubectl("create", "deployment", "many", f"--image={BUSYBOX}", "--replicas=9", "--", "sleep", "1000")
    assert made.returncode == 0

    def stuck() -> bool:
        shown = json.loads(joe.kubectl("get", "replicasets", "-o", "json").stdout)["items"]
        return any("exceeded quota" in c.get("message", "") for rs in shown for c in rs["status"].get("conditions", ()))

    eventually(stuck, "the quota stops the fourth pod")
    pods = json.loads(joe.kubectl("get", "pods", "-o", "json").stdout)["items"]
    assert len(pods) <= 3
    for one in pods:
        assert one["spec"]["containers"][0]["resources"]["limits"]["cpu"] == "500m"
    greedy = pod("greedy", ["sleep", "1"], container={"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "2"}}})
    assert "exceeded quota" in joe.apply(greedy).stderr


def test_rights_are_taken_back(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "jill"
    for namespace in ("team-c", "team-d"):
        cluster.tiphys("user", "create", "jill", "--namespace", namespace, "--role", "view", "--output", str(path))
    jill = Person("jill", path)
    assert jill.may("list", "pods") and jill.may("list", "pods", "-n", "team-c") and not jill.may("create", "pods")
    listed = cluster.tiphys("user", "list").stdout
    assert [line.split()[:3] for line in listed.splitlines() if "jill" in line] == [
        ["jill", "team-c", "view"],
        ["jill", "team-d", "view"],
    ]
    cluster.tiphys("user", "delete", "jill")
    eventually(lambda: not jill.may("list", "pods"), "the rights are gone")
    assert "jill" not in cluster.tiphys("user", "list").stdout
    cluster.kubectl("delete", "namespace", "team-c", "team-d", "--wait=false")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--namespace", "x", "--role", "king"), "tiphys: --role king: one of view, edit, admin"),
        (("--namespace", "X"), "tiphys: --namespace 'X' is no name of a namespace"),
        (("--namespace", "x", "--quota-cpu", "lots"), "tiphys: --quota-cpu lots is not a positive quantity"),
    ],
)
def test_mistakes_are_one_line(cluster: Cluster, arguments: tuple[str, ...], says: str) -> None:
    command = [str(BIN / "tiphys"), "user", "create", "ann", *arguments, "--data-dir", str(cluster.data_dir)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and done.stderr.startswith(says) and done.stderr.count("\n") == 1
