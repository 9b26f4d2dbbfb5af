"""Helm as it is: its client's server-side apply, waiting, hooks, lookups, histories and rollbacks."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml

from tests.e2e.operators.conftest import Helm, Kubectl

_CHART = Path(__file__).with_name("chart")
# Folders with charts of others, separated by colons: each is installed and removed.
_PUBLIC_CHARTS = os.environ.get("TIPHYS_CHARTS", "")


def _value(kubectl: Kubectl, path: str, *what: str) -> str:
    return kubectl("get", *what, "-o", f"jsonpath={{{path}}}")


def test_a_release_lives(kubectl: Kubectl, helm: Helm) -> None:
    """Install, upgrade, look back, roll back, uninstall: of a chart with one of everything."""
    chart = str(_CHART)
    assert helm("install", "demo", chart, "{}")["status"] == "deployed"
    assert _value(kubectl, ".status.readyReplicas", "deployment", "demo") == "2"
    assert _value(kubectl, ".data.revision", "configmap", "demo-before") == "1"
    password = _value(kubectl, ".data.password", "secret", "demo")

    upgraded = helm("upgrade", "demo", chart, json.dumps({"replicas": 3, "greeting": "salut"}))
    assert upgraded["revision"] == 2
    assert _value(kubectl, ".status.readyReplicas", "deployment", "demo") == "3"
    assert _value(kubectl, ".data.greeting", "configmap", "demo") == "salut"
    assert _value(kubectl, ".data.revision", "configmap", "demo-before") == "2"
    assert _value(kubectl, ".data.password", "secret", "demo") == password, "lookup found what was there"
    assert _value(kubectl, ".spec", "greetings.sample.tiphys.io", "demo") == '{"loud":false,"text":"salut"}'

    helm("rollback", "demo", "1")
    assert _value(kubectl, ".spec.replicas", "deployment", "demo") == "2"
    assert _value(kubectl, ".data.greeting", "configmap", "demo") == "hello"
    revisions = [(one["revision"], one["status"]) for one in helm("history", "demo")["items"]]
    assert revisions == [(1, "superseded"), (2, "superseded"), (3, "deployed")]

    helm("uninstall", "demo")
    left = kubectl("get", "deployment,statefulset,cronjob,service,pdb,hpa,ingress,networkpolicy,role", "-o", "name")
    assert left == ""


def test_what_the_server_refuses_fails_the_release(kubectl: Kubectl, helm: Helm) -> None:
    """The Status of the server is what the user reads, and the next upgrade goes on from there."""
    helm("install", "demo", str(_CHART), "{}")
    with pytest.raises(AssertionError, match=r"spec\.minAvailable"):
        helm("upgrade", "demo", str(_CHART), json.dumps({"minimum": -1}))
    assert helm("status", "demo")["status"] == "failed"
    assert helm("upgrade", "demo", str(_CHART), json.dumps({"minimum": 2}))["status"] == "deployed"
    helm("uninstall", "demo")


@pytest.mark.skipif(not _PUBLIC_CHARTS, reason="TIPHYS_CHARTS names no folders of public charts")
@pytest.mark.parametrize(
    "folder", _PUBLIC_CHARTS.split(":") if _PUBLIC_CHARTS else [], ids=lambda path: Path(path).name
)
def test_a_public_chart(kubectl: Kubectl, helm: Helm, folder: str) -> None:
    """Every object that it renders is accepted."""
    name = yaml.safe_load((Path(folder) / "Chart.yaml").read_text())["name"][:20].rstrip("-")
    assert helm("install", name, folder, "{}")["status"] == "deployed"
    helm("uninstall", name)
