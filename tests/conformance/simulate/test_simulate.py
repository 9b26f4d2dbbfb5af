"""What a user does: asks what a change would do, reads the answer, and finds the cluster as it was."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from tests.conformance.api.running import RunningServer
from tiphys.cmd.main import app
from tiphys.store.snapshot import save_sqlite

Run = Callable[..., Any]
ROOM = {"cpu": "4", "memory": "8Gi", "pods": "20"}
PACKING = """
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles:
  - pluginConfig:
      - name: NodeResourcesFit
        args: {scoringStrategy: {type: MostAllocated, resources: [{name: cpu, weight: 1}]}}
"""


@pytest.fixture(scope="module")
def filled(quiet: RunningServer) -> Iterator[RunningServer]:
    """Three nodes; two pods of a ReplicaSet and a bare one on the first; one that fits nowhere."""
    assert quiet.raw(
        "POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}}
    ).status in (
        201,
        409,
    )
    for number in range(3):
        meta = {"name": f"n{number}", "labels": {"kubernetes.io/hostname": f"n{number}"}}
        body = {"metadata": meta, "status": {"capacity": ROOM, "allocatable": ROOM}}
        assert quiet.raw("POST", "/api/v1/nodes", body).status == 201
        # A new node is tainted, and nobody is here to find it ready.
        patch, kind = {"spec": {"taints": None}}, {"Content-Type": "application/merge-patch+json"}
        assert quiet.raw("PATCH", f"/api/v1/nodes/n{number}", patch, kind).status == 200
    meta = {"name": "web", "labels": {"app": "web"}}
    spec = {"replicas": 2, "selector": {"matchLabels": meta["labels"]}, "template": _template("1")}
    made = quiet.raw("POST", "/apis/apps/v1/namespaces/default/replicasets", {"metadata": meta, "spec": spec})
    assert made.status == 201, made.body
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "controller": True}
    owner |= {"uid": made.json["metadata"]["uid"]}
    for name, owners, node_name, cpu in (
        ("web-1", [owner], "n0", "1"),
        ("web-2", [owner], "n0", "1"),
        ("bare", [], "n0", "1"),
        ("huge", [], None, "9"),
    ):
        pod = {"metadata": {"name": name, "ownerReferences": owners, "labels": meta["labels"] if owners else {}}}
        pod |= {"spec": _template(cpu)["spec"] | ({"nodeName": node_name} if node_name else {})}
        answer = quiet.raw("POST", "/api/v1/namespaces/default/pods", pod)
        assert answer.status == 201, answer.body
    yield quiet


def _template(cpu: str) -> dict[str, Any]:
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}
    return {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}}


@pytest.fixture
def run(filled: RunningServer) -> Run:
    """``tiphys simulate …``; fails if it wrote anything."""

    def ran(*arguments: str, live: bool = True) -> Any:
        before = filled.backend.revision
        where = ["--kubeconfig", str(filled.kubeconfig)] if live else []
        answer = CliRunner().invoke(app, ["simulate", *arguments, *where])
        assert filled.backend.revision == before
        assert answer.exception is None or isinstance(answer.exception, SystemExit), answer.exception
        return answer

    return ran


def test_no_change_leaves_everything_where_it_is_and_tells_what_waits(run: Run) -> None:
    answer = run()
    assert answer.exit_code == 1
    assert "Would be placed" not in answer.output
    assert "default/huge (pending): 0/3 nodes are available: 3 Insufficient cpu." in answer.output
    assert answer.output.rstrip().endswith("After: 3 nodes, 3 pods on them, 1 pending. 1 pod would find no node.")


def test_a_drain_in_text_and_for_programs(run: Run) -> None:
    answer = run("--delete", "pod/huge", "--drain", "n0")
    assert answer.exit_code == 0, answer.output
    assert "2 pods of default/ReplicaSet/web (drained) from n0 (2) to " in answer.output
    assert "Would be lost for good (1 pod):\n  default/bare on n0" in answer.output
    found = json.loads(run("--delete", "pod/huge", "--drain", "n0", "-o", "json").output)
    assert found["changes"] == ["delete pod/huge", "drain n0"]
    assert {(pod["pod"], pod["was"], pod["cause"]) for pod in found["placements"]} == {
        ("default/web-1", "n0", "drained"),
        ("default/web-2", "n0", "drained"),
    }
    assert sorted(pod["node"] for pod in found["placements"]) == ["n1", "n2"]
    assert next(node for node in found["nodes"] if node["name"] == "n0")["after"]["pods"] == 0


def test_changes_are_made_in_the_order_given(run: Run) -> None:
    first = json.loads(
        run("--add-nodes", "1", "--like", "n0", "--cordon", "n0-new-1", "--drain", "n0", "-o", "json").output
    )
    assert first["changes"] == ["add 1 node like n0", "cordon n0-new-1", "drain n0"]
    assert run("--cordon", "n0-new-1", "--add-nodes", "1", "--like", "n0").exit_code == 2


def test_manifests_scales_and_configurations(run: Run, tmp_path: Path) -> None:
    manifest, config = tmp_path / "more.yaml", tmp_path / "config.yaml"
    manifest.write_text(
        yaml.safe_dump_all(
            [
                {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}},
                {"apiVersion": "example.com/v1", "kind": "Gadget", "metadata": {"name": "other"}},
                {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "shop"}, "spec": {
                    "replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": _template("500m"),
                }},
            ]
        )
    )  # fmt: skip
    config.write_text(PACKING)
    answer = run("--add", str(manifest), "--count", "2", "--scale", "rs/web=3", "-o", "json")
    assert answer.stderr == f"{manifest}: Gadget other is left out: no kind that is built in\n"
    found = json.loads(answer.stdout)
    assert sorted({pod["owner"] for pod in found["placements"]}) == [
        "Deployment/shop-1",
        "Deployment/shop-2",
        "ReplicaSet/web",
    ]
    assert len(found["placements"]) == 5
    packed = json.loads(run("--config", str(config), "--reschedule-all", "-o", "json").output)
    spread = json.loads(run("--reschedule-all", "-o", "json").output)
    assert len({pod["node"] for pod in packed["placements"]}) < len({pod["node"] for pod in spread["placements"]})


def test_a_saved_cluster_gives_the_same_answers(run: Run, tmp_path: Path, filled: RunningServer) -> None:
    file, listed = tmp_path / "cluster.gz", tmp_path / "cluster.yaml"
    live = run("--drain", "n0", "--seed", "7", "--save", str(file))
    again = run("--drain", "n0", "--seed", "7", "--snapshot", str(file), live=False)
    assert live.stdout == again.stdout
    printed = filled.kubectl("get", "nodes,namespaces,pods,replicasets", "-A", "-o", "yaml")
    listed.write_text(printed.stdout)
    assert run("--drain", "n0", "--seed", "7", "--snapshot", str(listed), live=False).stdout == live.stdout
    assert run("--save", str(file)).exit_code == 2


def test_the_state_that_snapshot_save_wrote_is_read(run: Run, tmp_path: Path, filled: RunningServer) -> None:
    file = tmp_path / "state.snapshot"
    save_sqlite(filled.config.store_path, file, "2026-01-01T00:00:00Z")
    assert run("--drain", "n0", "--snapshot", str(file), live=False).stdout == run("--drain", "n0").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--drain", "n9"], 'node "n9" not found'),
        (["--add-nodes", "2"], "--add-nodes 2 needs --like NODE after it"),
        (["--like", "n0"], "--like n0 belongs right after --add-nodes"),
        (["--count", "2"], "--count 2 belongs right after --add"),
        (["--scale", "web"], "is not of the form KIND/NAME=N"),
        (["--scale", "rs/web=many"], "--scale many is no number"),
        (["--add", "/no/such/file"], "No such file"),
        (["--snapshot", "/no/such/file"], "No such file"),
        (["-o", "xml"], "--output xml is neither text nor json"),
        (["--config", "/no/such/file"], "--config: "),
    ],
)
def test_what_cannot_be_done_is_one_line_and_code_2(run: Run, arguments: list[str], said: str) -> None:
    answer = run(*arguments)
    assert answer.exit_code == 2
    assert said in answer.output
    assert len(answer.output.strip().splitlines()) == 1
