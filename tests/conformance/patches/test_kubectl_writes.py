"""How kubectl writes: client-side and server-side apply, edit, replace, patch, dry runs, prune, set."""

from __future__ import annotations

import json
import os
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.conformance.api.running import RunningServer


class Kubectl:
    """kubectl in one namespace."""

    def __init__(self, server: RunningServer, namespace: str) -> None:
        self._server = server
        self.namespace = namespace

    def __call__(self, *arguments: str, stdin: Any = None, check: bool = True) -> CompletedProcess[str]:
        text = stdin if isinstance(stdin, str | None) else json.dumps(stdin)
        return self._server.kubectl(*arguments, "-n", self.namespace, stdin=text, check=check)

    def get(self, kind: str, name: str) -> Any:
        return json.loads(self("get", kind, name, "-o", "json", "--show-managed-fields").stdout)


@pytest.fixture
def kubectl(server: RunningServer, namespace: str) -> Kubectl:
    return Kubectl(server, namespace)


def config(data: dict[str, str], name: str = "one", **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}, "data": data}


def deployment(replicas: int = 0, image: str = "i:1") -> dict[str, Any]:
    container = {"name": "main", "image": image, "ports": [{"containerPort": 80}]}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "one"}, "spec": spec}


def test_apply_removes_what_is_said_no_more(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=config({"a": "1", "b": "1"}))
    assert "configured" in kubectl("apply", "-f", "-", stdin=config({"a": "2"})).stdout
    assert kubectl.get("configmap", "one")["data"] == {"a": "2"}
    assert "unchanged" in kubectl("apply", "-f", "-", stdin=config({"a": "2"})).stdout


def test_apply_keeps_what_others_say(kubectl: Kubectl) -> None:
    """A strategic merge of three: what was applied, what is there, what is wanted."""
    kubectl("apply", "-f", "-", stdin=deployment())
    kubectl("scale", "deployment", "one", "--replicas=3")
    kubectl("set", "env", "deployment/one", "A=1")
    kubectl(
        "apply",
        "-f",
        "-",
        stdin={**deployment(image="i:2"), "spec": {**deployment(image="i:2")["spec"], "replicas": 3}},
    )
    (container,) = kubectl.get("deployment", "one")["spec"]["template"]["spec"]["containers"]
    assert (container["image"], container["env"]) == ("i:2", [{"name": "A", "value": "1"}])


def test_server_side_apply_and_its_conflicts(kubectl: Kubectl) -> None:
    apply = ("apply", "--server-side", "-f", "-")
    assert "serverside-applied" in kubectl(*apply, stdin=config({"a": "1"})).stdout
    refused = kubectl(*apply, "--field-manager=other", stdin=config({"a": "2"}), check=False)
    assert refused.returncode != 0
    assert 'conflict with "kubectl": .data.a' in refused.stderr
    kubectl(*apply, "--field-manager=other", "--force-conflicts", stdin=config({"a": "2"}))
    assert kubectl.get("configmap", "one")["data"] == {"a": "2"}


def test_a_client_side_object_moves_to_the_server_side(kubectl: Kubectl) -> None:
    """What was applied by the client can be taken away by the server's apply."""
    kubectl("apply", "-f", "-", stdin=config({"a": "1", "b": "1"}))
    kubectl("apply", "--server-side", "-f", "-", stdin=config({"a": "1"}))
    found = kubectl.get("configmap", "one")
    assert found["data"] == {"a": "1"}
    managers = {(entry["manager"], entry["operation"]) for entry in found["metadata"]["managedFields"]}
    assert ("kubectl", "Apply") in managers
    assert ("kubectl-client-side-apply", "Update") not in managers


def test_edit_saves_what_the_editor_leaves(kubectl: Kubectl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kubectl("create", "-f", "-", stdin=config({"a": "1"}))
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i \'s/a: "1"/a: "2"/\' "$1"\n')
    editor.chmod(0o755)
    monkeypatch.setitem(os.environ, "KUBE_EDITOR", str(editor))
    assert "edited" in kubectl("edit", "configmap", "one").stdout
    assert kubectl.get("configmap", "one")["data"] == {"a": "2"}


def test_replace_by_force_makes_another_object(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", stdin=config({"a": "1"}))
    before = kubectl.get("configmap", "one")["metadata"]["uid"]
    kubectl("replace", "--force", "-f", "-", stdin=config({"a": "2"}))
    found = kubectl.get("configmap", "one")
    assert found["data"] == {"a": "2"} and found["metadata"]["uid"] != before


@pytest.mark.parametrize(
    ("form", "patch"),
    [
        ("strategic", {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "i:2"}]}}}}),
        ("json", [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "i:2"}]),
        ("merge", {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "i:2"}]}}}}),
    ],
)
def test_patch_in_three_languages(kubectl: Kubectl, form: str, patch: Any) -> None:
    kubectl("create", "-f", "-", stdin=deployment())
    kubectl("patch", "deployment", "one", f"--type={form}", "-p", json.dumps(patch))
    (container,) = kubectl.get("deployment", "one")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "i:2"


def test_patch_of_a_subresource(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", stdin=deployment())
    kubectl("patch", "deployment", "one", "--subresource=status", "--type=merge", "-p", '{"status":{"replicas":7}}')
    kubectl("patch", "deployment", "one", "--subresource=scale", "--type=merge", "-p", '{"spec":{"replicas":2}}')
    found = kubectl.get("deployment", "one")
    assert (found["status"]["replicas"], found["spec"]["replicas"]) == (7, 2)


def test_a_strict_dry_run(kubectl: Kubectl) -> None:
    create = ("create", "--dry-run=server", "--validate=strict", "-f", "-")
    kubectl(*create, stdin=config({"a": "1"}))
    assert kubectl("get", "configmap", "one", check=False).returncode != 0
    refused = kubectl(*create, stdin={**config({}), "unknown": 1}, check=False)
    assert 'unknown field "unknown"' in refused.stderr


def test_prune_deletes_what_is_applied_no_more(kubectl: Kubectl) -> None:
    labelled = [config({"a": "1"}, name, labels={"set": "mine"}) for name in ("one", "two")]
    kubectl("apply", "-f", "-", stdin={"apiVersion": "v1", "kind": "List", "items": labelled})
    pruned = ("apply", "--prune", "-l", "set=mine", "--prune-allowlist=core/v1/ConfigMap", "-f", "-")
    assert "configmap/two pruned" in kubectl(*pruned, stdin=labelled[0]).stdout
    assert kubectl("get", "configmap", "two", check=False).returncode != 0


def test_preconditions_and_policies_of_deletion(server: RunningServer, kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", stdin=config({"a": "1"}))
    path = f"/api/v1/namespaces/{kubectl.namespace}/configmaps/one"
    refused = server.raw("DELETE", path, {"preconditions": {"uid": "x"}})
    assert (refused.status, refused.reason) == (409, "Conflict")
    assert "the UID in the precondition (x) does not match the UID in record" in refused.message
    refused = server.raw("DELETE", path, {"preconditions": {"resourceVersion": "1"}})
    assert (refused.status, refused.reason) == (409, "Conflict")
    bad = server.raw("DELETE", f"{path}?propagationPolicy=Sideways")
    assert (bad.status, bad.reason) == (422, "Invalid")
    assert 'Unsupported value: "Sideways": supported values: "Foreground", "Background"' in bad.message
    assert server.raw("DELETE", f"{path}?dryRun=All").status == 200
    assert server.raw("GET", path).status == 200
