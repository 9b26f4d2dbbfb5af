"""Pods that have a node, workloads without pods, the bound on size, and the words."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from tests.unit.scheduler.explaining.clusters import model, on, why
from tests.unit.scheduler.objects import node, pod
from tiphys.api.codec import decode_any, from_dict
from tiphys.api.types.apps_v1 import DaemonSet, Deployment, ReplicaSet, StatefulSet
from tiphys.api.types.batch_v1 import Job
from tiphys.api.types.core_v1 import Pod, Taint
from tiphys.scheduler import explaining
from tiphys.scheduler.explaining import replicas, workload
from tiphys.scheduler.explaining.explain import explain
from tiphys.scheduler.explaining.explanation import MAXIMUM_BYTES, Verdict, encode
from tiphys.scheduler.explaining.phrases import phrase
from tiphys.scheduler.explaining.words import render


def seen(**status: Any) -> Any:
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    conditions = [scheduled, *status.pop("conditions", [])]
    document = {
        "metadata": {"name": "p", "namespace": "default"},
        "spec": {"nodeName": "n1", "containers": [{"name": "c"}]},
        "status": {"conditions": conditions, **status},
    }
    return why(from_dict(Pod, document))


def test_running() -> None:
    ready = {"type": "Ready", "status": "True"}
    explanation = seen(phase="Running", conditions=[ready])
    assert explanation.verdict is Verdict.RUNNING
    assert explanation.summary == "It was scheduled to node n1 at 2026-01-01T00:00:00Z, runs and is ready."


def test_what_keeps_a_bound_pod_from_running() -> None:
    def of(container: dict[str, Any], kind: str = "containerStatuses") -> Any:
        explanation = seen(phase="Pending", **{kind: [{"name": "c", "ready": False, **container}]})
        assert explanation.verdict is Verdict.STARTING
        return explanation.containers[0]

    pull = of({"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}})
    assert pull.state == "ImagePullBackOff" and "cannot be pulled" in pull.detail and "no such image" in pull.detail
    last = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    crash = of({"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": last})
    assert "ended with code 137 (OOMKilled)" in crash.detail
    init = of({"state": {"running": {}}}, "initContainerStatuses")
    assert (init.name, init.detail) == ("init container c", "it still runs")
    probe = of({"state": {"running": {}}, "started": True})
    assert probe.detail == "it runs, but its readiness probe fails"
    assert of({"state": {"running": {}}, "started": False}).detail.endswith("its startup probe has not succeeded yet")


def test_nobody_reports() -> None:
    assert "the kubelet of n1 has not reported" in seen(phase="Pending").summary


def test_finished_and_deleted() -> None:
    assert seen(phase="Succeeded").verdict is Verdict.FINISHED
    failed = seen(phase="Failed", reason="Evicted", message="low on memory")
    assert failed.summary == "It has failed: Evicted: low on memory."
    assert why(pod("p", deleted=True)).verdict is Verdict.TERMINATING


def deployment(replicas: int = 3, **status: Any) -> Deployment:
    return from_dict(
        Deployment,
        {"metadata": {"name": "web", "namespace": "default"}, "spec": {"replicas": replicas}, "status": status},
    )


def refusing(message: str) -> ReplicaSet:
    condition = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}
    return from_dict(ReplicaSet, {"metadata": {"name": "web-1"}, "status": {"conditions": [condition]}})


def test_a_quota_refused_the_pods() -> None:
    message = (
        'pods "web-1-x" is forbidden: exceeded quota: small, requested: limits.memory=1Gi,requests.cpu=500m, '
        "used: limits.memory=1Gi,requests.cpu=1, limited: limits.memory=2Gi,requests.cpu=1"
    )
    explanation = workload.explain_workload(workload.describe(deployment(), [refusing(message)]), [], [])
    assert explanation.verdict is Verdict.NO_PODS
    assert explanation.summary.startswith('It has 0 of 3 pods, for pods are refused: pods "web-1-x" is forbidden')
    (remedy,) = explanation.remedies
    assert remedy.text == (
        "raise the ResourceQuota small: limits.memory from 2Gi to 4Gi, requests.cpu from 1 to 2500m (for 3 more pods)"
    )
    assert remedy.changes[0].patch == (
        {"op": "replace", "path": "/spec/hard/limits.memory", "value": "4Gi"},
        {"op": "replace", "path": "/spec/hard/requests.cpu", "value": "2500m"},
    )
    assert render(explanation).splitlines()[-1] == f"  1. R{remedy.text[1:]}."


def test_why_a_deployment_has_no_pods() -> None:
    def said(found: Deployment) -> str:
        return workload.explain_workload(workload.describe(found), [], []).summary

    assert said(deployment(0)) == "It wants no pods: it is scaled to 0 or done."
    assert "no ReplicaSet has been made for it yet; does the controller manager run?" in said(deployment())
    progress = {"type": "Progressing", "status": "False", "message": "quota says no"}
    assert said(deployment(conditions=[progress])).endswith("yet: quota says no.")


def test_other_workloads() -> None:
    job = from_dict(Job, {"spec": {"parallelism": 3, "completions": 5}, "status": {"succeeded": 4}})
    assert workload.describe(job).wanted == 1
    done = {"type": "Complete", "status": "True"}
    assert workload.describe(from_dict(Job, {"status": {"conditions": [done]}})).wanted == 0
    daemons = from_dict(DaemonSet, {"metadata": {"name": "d"}, "status": {"desiredNumberScheduled": 4}})
    found = workload.explain_workload(workload.describe(daemons, refusals=("no", "no")), [], [])
    assert (found.subject, found.summary) == ("daemonset/d", "It has 0 of 4 pods, for pods are refused: no.")
    sets = from_dict(StatefulSet, {"metadata": {"name": "s"}, "spec": {"replicas": 2}})
    assert workload.explain_workload(workload.describe(sets), [], []).verdict is Verdict.NO_PODS


def test_how_many_nodes_for_all() -> None:
    there = model([node("n1", cpu="4"), on("n1", pod("full", cpu="4", priority=1))])
    waiting = [pod(f"web-{index}", cpu="1500m") for index in range(5)]
    explanation = replicas.count_nodes(explain(waiting[0], there), waiting, there)
    remedy = next(remedy for remedy in explanation.remedies if remedy.kind == "AddNode")
    assert remedy.nodes_for_all == 3
    assert remedy.text == "add a node like n1 (3 of them for all 5 pods that wait)"
    assert there.cluster.nodes.count == 1 and int(there.cluster.nodes.requested[:, 0].sum()) == 4000


def test_it_is_bounded_and_quick_at_5000_nodes() -> None:
    nodes = []
    for index in range(5_000):
        taint = Taint(key=f"tenant.example.com/{'t' * 50}", value=f"{index}-{'v' * 50}", effect="NoSchedule")
        nodes.append(node(f"node-{index}-{'n' * 150}", zone=f"zone-{index % 7}-{'z' * 40}", taints=(taint,)))
    there = model(nodes)
    started = time.process_time()
    explanation = explain(pod("p", cpu="9", node_selector={f"k{'k' * 50}": "v" * 60}), there)
    assert time.process_time() - started < 10
    document = encode(explanation)
    assert len(document) <= MAXIMUM_BYTES
    assert explanation.nodes == 5_000 and explanation.reasons[0].nodes == 5_000
    assert explanation.left_out["groups"] > 4_900
    assert len(render(explanation)) < MAXIMUM_BYTES
    assert decode_any(document)["kind"] == "Explanation"


def test_in_words() -> None:
    there = [node("n1", cpu="2", zone="a"), node("n2", cpu="4", zone="b", unschedulable=True)]
    text = render(why(pod("big", cpu="3"), *there))
    assert text == (
        "pod/big in namespace default: Pending. None of the 2 nodes takes it. Least is in the way on n1: "
        "not enough cpu.\n"
        "\n"
        "What stands in the way (2 nodes; one can be counted under several):\n"
        "  1  not enough cpu: asks for 3 cpu, at most 2 is free; even empty they have at most 2  [NodeResourcesFit]\n"
        "  1  cordoned  [NodeUnschedulable]\n"
        "\n"
        "By groups of nodes, those with least in the way first:\n"
        "  1 node with topology.kubernetes.io/zone=a (n1)\n"
        "      not enough cpu: asks for 3 cpu, at most 2 is free; even empty they have at most 2\n"
        "  1 node with topology.kubernetes.io/zone=b (n2)\n"
        "      cordoned\n"
        "\n"
        "What would make it fit (each alone; all were tried on a model of the cluster):\n"
        "  1. Uncordon node n2. Then n2 takes it.\n"
        "  2. Lower the cpu request from 3 to 2. Then n1 takes it.\n"
        "  3. Add a node like n2 (topology.kubernetes.io/zone=b). Then that node takes it."
    )


def test_every_reason_of_our_filters_has_a_phrase() -> None:
    folder = Path(explaining.__file__).parents[1] / "plugins"
    said = {
        words
        for path in folder.glob("*.py")
        for words in re.findall(r'"(node(?:\(s\)| has)[^"{]*)"', path.read_text())
        if "{" not in words
    }
    assert len(said) >= 15
    assert [words for words in sorted(said) if phrase(words) == words] == []
