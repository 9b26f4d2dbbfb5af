"""An operator of another framework: oper8 applies, watches what it owns, verifies, and reports conditions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import eventually
from tests.e2e.operators.conftest import Kubectl, Run

_DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "greeters.sample.tiphys.io"},
    "spec": {
        "group": "sample.tiphys.io",
        "scope": "Namespaced",
        "names": {"kind": "Greeter", "plural": "greeters", "singular": "greeter"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {"type": "object", "properties": {"text": {"type": "string"}}},
                            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                        },
                    }
                },
            }
        ],
    },
}
_GREETER = {
    "apiVersion": "sample.tiphys.io/v1",
    "kind": "Greeter",
    "metadata": {"name": "hello"},
    "spec": {"text": "hello"},
}


@pytest.fixture
def definition(kubectl: Kubectl) -> Iterator[None]:
    kubectl("create", "-f", "-", stdin=json.dumps(_DEFINITION))
    kubectl("wait", "--for=condition=Established", "crd/greeters.sample.tiphys.io", "--timeout=10s")
    yield
    kubectl("delete", "crd", "greeters.sample.tiphys.io", "--timeout=30s")


@pytest.mark.usefixtures("definition")
def test_an_operator_reconciles(kubectl: Kubectl, operator: Run, tmp_path: Path) -> None:
    folder = str(Path(__file__).parent)
    settings = {"WATCH_MANAGER": "python", "PYTHON_WATCH_MANAGER_WATCH_DEPENDENT_RESOURCES": "true"}
    variables = {"PYTHONPATH": folder, "WATCH_NAMESPACE": kubectl.namespace, "HOME": str(tmp_path)} | settings
    running = operator("python", "-m", "oper8", "-m", "greeter", **variables)
    kubectl("create", "-f", "-", stdin=json.dumps(_GREETER))

    def ready() -> bool:
        status = json.loads(kubectl("get", "greeter", "hello", "-o", "json")).get("status", {})
        conditions = {one["type"]: one["status"] for one in status.get("conditions", [])}
        assert conditions.get("Ready") == "True", f"{status}\n{running.written}"
        return True

    eventually(ready, "it is ready", 40)
    assert kubectl("get", "configmap", "hello", "-o", "jsonpath={.data.text}") == "hello"
    kubectl("patch", "greeter", "hello", "--type=merge", "-p", '{"spec":{"text":"salut"}}')
    eventually(
        lambda: kubectl("get", "configmap", "hello", "-o", "jsonpath={.data.text}") == "salut",
        "the change is applied",
    )
    # What it owns is watched: a deleted dependent is made again, a deleted owner takes its dependents along.
    kubectl("delete", "deployment", "hello")
    eventually(lambda: kubectl("get", "deployment", "hello", "-o", "name", check=False) != "", "made again")
    kubectl("delete", "greeter", "hello", "--timeout=30s")
    eventually(lambda: kubectl("get", "deployment", "hello", "-o", "name", check=False) == "", "collected")
