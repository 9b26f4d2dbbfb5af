"""What a user does: asks why a pod is pending, does what is offered, and it runs."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.conformance.api.running import RunningServer
from tiphys.cmd.main import app
from tiphys.scheduler.messages import WHY_ANNOTATION

_numbers = itertools.count(1)
Ask = Callable[..., str]


@pytest.fixture
def namespace(hollow: RunningServer) -> Iterator[str]:
    name = f"why-{next(_numbers)}"
    hollow.kubectl("create", "namespace", name)
    until(lambda: hollow.raw("GET", f"/api/v1/namespaces/{name}/serviceaccounts/default").status == 200)
    yield name
    hollow.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def ask(hollow: RunningServer, namespace: str) -> Ask:
    def asked(target: str, *more: str) -> str:
        arguments = ["why", target, "-n", namespace, "--kubeconfig", str(hollow.kubeconfig), *more]
        answer = CliRunner().invoke(app, arguments)
        assert answer.exit_code == 0, answer.output + repr(answer.exception)
        return answer.output

    return asked


def until(condition: Callable[[], Any], seconds: float = 20) -> Any:
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "not in time"
        time.sleep(0.02)
    return found


def pod(name: str, **spec: Any) -> dict[str, Any]:
    cpu = spec.pop("cpu", "1")
    container = {"name": "c", "image": "any", "resources": {"requests": {"cpu": cpu}}}
    return {"metadata": {"name": name}, "spec": {"containers": [container], **spec}}


def create(server: RunningServer, namespace: str, body: dict[str, Any]) -> str:
    path = f"/api/v1/namespaces/{namespace}/pods"
    answer = server.raw("POST", path, body)
    assert answer.status == 201, answer.body
    return f"{path}/{body['metadata']['name']}"


def read(server: RunningServer, path: str) -> Any:
    return server.raw("GET", path).json


def carried(server: RunningServer, path: str) -> Any:
    return until(lambda: read(server, path)["metadata"].get("annotations", {}).get(WHY_ANNOTATION))


def test_a_remedy_done_by_hand_makes_the_pod_run(hollow: RunningServer, namespace: str, ask: Ask) -> None:
    path = create(hollow, namespace, pod("labelled", nodeSelector={"disk": "ssd"}))
    assert json.loads(carried(hollow, path))["reasons"][0]["plugin"] == "NodeAffinity"
    answer = json.loads(ask("pod/labelled", "-o", "json"))
    assert (answer["apiVersion"], answer["verdict"], answer["nodes"]) == ("why.tiphys.io/v1", "Unschedulable", 4)
    assert answer["reported"].startswith("0/4 nodes are available: 4 node(s) didn't match Pod's node affinity")
    remedy = next(remedy for remedy in answer["remedies"] if remedy["kind"] == "LabelNode")
    (change,) = remedy["changes"]
    hollow.kubectl("patch", "node", change["name"], "--type=json", "-p", json.dumps(change["patch"]))
    until(lambda: read(hollow, path)["status"].get("phase") == "Running")
    assert read(hollow, path)["spec"]["nodeName"] == change["name"]
    assert read(hollow, path)["metadata"]["annotations"][WHY_ANNOTATION] == ""
    assert f"It was scheduled to node {change['name']} at 20" in ask("pod/labelled")


def test_an_uncordoned_node(hollow: RunningServer, namespace: str, ask: Ask) -> None:
    names = [f"hollow-{number}" for number in range(4)]
    hollow.kubectl("cordon", *names)
    try:
        until(lambda: all(read(hollow, f"/api/v1/nodes/{name}")["spec"].get("taints") for name in names))
        path = create(hollow, namespace, pod("late"))
        carried(hollow, path)
        text = ask("pod/late")
        assert "  4  cordoned  [NodeUnschedulable]" in text
        assert "taint" not in text.splitlines()[3]
        assert "  1. Uncordon node hollow-0 (or another of 4 cordoned nodes). Then hollow-0 takes it." in text
    finally:
        hollow.kubectl("uncordon", *names)
    until(lambda: read(hollow, path)["spec"].get("nodeName"))


def test_a_deployment_that_is_too_large_for_the_cluster(hollow: RunningServer, namespace: str, ask: Ask) -> None:
    hollow.kubectl("create", "deployment", "web", "--image=any", "--replicas=6", "-n", namespace)
    patch = [{"op": "add", "path": "/spec/template/spec/containers/0/resources", "value": {"requests": {"cpu": "3"}}}]
    hollow.kubectl("patch", "deployment", "web", "-n", namespace, "--type=json", "-p", json.dumps(patch))

    def pending() -> bool:
        answer = json.loads(ask("deployment/web", "-o", "json"))
        return any(remedy["kind"] == "AddNode" for remedy in answer.get("remedies", ()))

    until(pending)
    answer = json.loads(ask("deployment/web", "-o", "json"))
    assert (answer["subject"], answer["owner"]) == ("deployment/web", "Deployment/web")
    kinds = {remedy["kind"]: remedy for remedy in answer["remedies"]}
    assert kinds["LowerRequest"]["text"].startswith("lower the cpu request from 3 to ")
    assert kinds["AddNode"]["nodes"] == 1


def test_a_quota_that_lets_no_pod_in(hollow: RunningServer, namespace: str, ask: Ask) -> None:
    hollow.kubectl("create", "quota", "small", "--hard=pods=1", "-n", namespace)
    until(lambda: read(hollow, f"/api/v1/namespaces/{namespace}/resourcequotas/small").get("status", {}).get("hard"))
    hollow.kubectl("create", "deployment", "web", "--image=any", "--replicas=3", "-n", namespace)
    text = until(lambda: found if "It has 1 of 3 pods" in (found := ask("deployment/web")) else "")
    assert "for pods are refused: " in text
    assert "Raise the ResourceQuota small: pods from 1 to 3 (for 2 more pods)." in text


def test_a_stateful_set_whose_pods_are_refused(hollow: RunningServer, namespace: str, ask: Ask) -> None:
    hollow.kubectl("create", "quota", "none", "--hard=pods=0", "-n", namespace)
    until(lambda: read(hollow, f"/api/v1/namespaces/{namespace}/resourcequotas/none").get("status", {}).get("hard"))
    template = {"metadata": {"labels": {"app": "db"}}, "spec": pod("x")["spec"]}
    spec = {"serviceName": "db", "selector": {"matchLabels": {"app": "db"}}, "template": template}
    body = {"metadata": {"name": "db"}, "spec": spec}
    assert hollow.raw("POST", f"/apis/apps/v1/namespaces/{namespace}/statefulsets", body).status == 201
    text = until(lambda: found if "refused" in (found := ask("sts/db")) else "")
    assert "Raise the ResourceQuota none: pods from 0 to 1 (for 1 more pod)." in text


def test_a_snapshot_instead_of_a_cluster(hollow: RunningServer, namespace: str, ask: Ask, tmp_path: Path) -> None:
    create(hollow, namespace, pod("large", cpu="9"))
    file = tmp_path / "cluster.gz"
    asked = ["simulate", "--save", str(file), "--kubeconfig", str(hollow.kubeconfig)]
    CliRunner().invoke(app, asked)
    assert ask("pod/large", "--snapshot", str(file)) == ask("pod/large")


def test_who_may_not_read_the_nodes(hollow: RunningServer, namespace: str, ask: Ask, tmp_path: Path) -> None:
    file = tmp_path / "jane.kubeconfig"
    made = ["user", "create", "jane", "--namespace", namespace, "-o", str(file), "--server", hollow.url]
    answer = CliRunner().invoke(app, [*made, "--kubeconfig", str(hollow.kubeconfig)])
    assert answer.exit_code == 0, answer.output
    carried(hollow, create(hollow, namespace, pod("large", cpu="9")))
    text = ask("pod/large", "--kubeconfig", str(file))
    assert "0/4 nodes are available: 4 Insufficient cpu." in text
    assert "  4  not enough cpu  [NodeResourcesFit]" in text
    assert "so nothing could be tried." in text


def test_what_no_scheduler_looks_at(hollow: RunningServer, namespace: str, ask: Ask) -> None:
    create(hollow, namespace, pod("foreign", schedulerName="nobody"))
    assert "It waits for a scheduler called nobody, and none of that name has looked at it." in ask("pod/foreign")
    create(hollow, namespace, pod("gated", schedulingGates=[{"name": "example.com/gate"}]))
    assert "its scheduling gates are not removed yet (example.com/gate)" in ask("gated")


def test_words_for_what_cannot_be_answered(hollow: RunningServer) -> None:
    def refused(*arguments: str) -> str:
        answer = CliRunner().invoke(app, ["why", *arguments, "--kubeconfig", str(hollow.kubeconfig)])
        assert answer.exit_code == 1
        return str(answer.exception)

    assert 'pods "none" not found' in refused("pod/none")
    assert refused("node/x") == "node/x is not pod/NAME, nor deployment/, statefulset/, daemonset/ or job/NAME"
    assert refused("pod/x", "-o", "yaml") == "--output yaml is neither text nor json"
