"""The examples published with kopf, as they are: handlers, children, errors, filters, daemons, timers, indexes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cluster import eventually
from tests.e2e.operators.conftest import Kubectl, Operator, fresh_namespace, operators
from tiphys.testing.plugin import TiphysCluster

_NAME = "kopf-example-1"


@pytest.fixture(scope="module", autouse=True)
def definition(tiphys_cluster: TiphysCluster, kopf_examples: Path) -> Iterator[None]:
    """The examples' CustomResourceDefinition."""
    kubectl = Kubectl(tiphys_cluster, "default")
    kubectl("apply", "-f", str(kopf_examples / "crd.yaml"))
    kubectl("wait", "--for=condition=Established", "crd/kopfexamples.kopf.dev", "--timeout=10s")
    yield
    kubectl("delete", "-f", str(kopf_examples / "crd.yaml"), "--timeout=30s")


class Example:
    """An example's operator and its custom resource."""

    def __init__(self, operator: Operator, kubectl: Kubectl) -> None:
        self.operator = operator
        self.kubectl = kubectl

    def change(self, spec: dict[str, Any]) -> None:
        self.kubectl("patch", "kex", _NAME, "--type=merge", "-p", json.dumps({"spec": spec}))

    def delete(self) -> None:
        """Until it is gone: the operator's finalizer holds it until its handlers have run."""
        self.kubectl("delete", "kex", _NAME, "--timeout=30s")

    def events(self) -> list[dict[str, Any]]:
        found = self.kubectl("get", "events", "--field-selector", f"involvedObject.name={_NAME}", "-o", "json")
        return list(json.loads(found)["items"])


_RUN = (
    *("02-children", "03-exceptions", "04-events", "05-handlers", "07-subhandlers", "11-filtering-handlers"),
    *("14-daemons", "15-timers", "16-indexing", "99-all-at-once"),
)


@pytest.fixture(scope="module")
def examples(
    tiphys_cluster: TiphysCluster, programs: Path, kopf_examples: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Example]]:
    """All of them at once, each in its own namespace with the published resource: most of their time is waiting."""
    logs = tmp_path_factory.mktemp("kopf")
    with ExitStack() as stack:
        kubectls = {name: stack.enter_context(fresh_namespace(tiphys_cluster)) for name in _RUN}
        run = stack.enter_context(operators(tiphys_cluster, programs, logs))
        started = {}
        for name, kubectl in kubectls.items():
            script = str(kopf_examples / name / "example.py")
            started[name] = Example(run("kopf", "run", "-n", kubectl.namespace, script), kubectl)
            kubectl("apply", "-f", str(kopf_examples / "obj.yaml"))
        yield started
        for wait in ("--wait=false", "--timeout=30s"):
            for kubectl in kubectls.values():
                kubectl("delete", "kex", "--all", wait)


@pytest.fixture
def example(request: pytest.FixtureRequest, examples: dict[str, Example]) -> Example:
    """The example that the test's parameter names."""
    return examples[str(request.param)]


def _example(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("example", [name], indirect=True)


@_example("05-handlers")
def test_handlers_of_every_change_run_in_order(example: Example) -> None:
    example.operator.says("Creation is processed: 3 succeeded; 0 failed.")
    example.change({"field": "changed"})
    example.operator.says("FIELD CHANGED: value -> changed")
    example.operator.says("Updating is processed: 2 succeeded; 0 failed.")
    example.delete()
    written = example.operator.written
    order = ["CREATED 1st", "CREATED 2nd", "UPDATED", "DELETED 1st", "DELETED 2nd"]
    assert sorted(order, key=written.index) == order


@_example("02-children")
def test_children_are_adopted_and_go_with_their_owner(example: Example) -> None:
    example.operator.says("Creation is processed: 1 succeeded; 0 failed.")
    pod = json.loads(example.kubectl("get", "pods", "-o", "json"))["items"][0]
    assert pod["metadata"]["ownerReferences"][0]["name"] == _NAME
    row = example.kubectl("get", "kex").splitlines()
    assert row[0].split() == ["NAME", "DURATION", "CHILDREN", "MESSAGE"]
    assert pod["metadata"]["uid"] in row[1]
    example.delete()
    eventually(lambda: example.kubectl("get", "pods", "-o", "name") == "", "the child is collected")


@_example("03-exceptions")
def test_errors_are_retried_or_given_up(example: Example) -> None:
    example.operator.says("Creation is processed: 1 succeeded; 3 failed.")
    written = example.operator.written
    assert written.count("Expected recoverable error.") == 3
    assert "Fail once and for all." in written


@_example("04-events")
def test_events_are_recorded(example: Example) -> None:
    example.operator.says("Creation is processed: 1 succeeded; 0 failed.")
    types = eventually(
        lambda: (found := {event["type"] for event in example.events()}) >= {"SomeType", "Normal", "Warning"} and found,
        "events of all types",
    )
    assert "Error" in types


@_example("07-subhandlers")
def test_progress_of_subhandlers_is_kept_in_the_object(example: Example) -> None:
    example.operator.says("=== Handling creation for item1. ===")
    example.operator.says("=== Handling creation for item2. ===")
    example.operator.says("Creation is processed: 1 succeeded; 0 failed.")
    annotations = json.loads(example.kubectl("get", "kex", _NAME, "-o", "json"))["metadata"]["annotations"]
    assert "item1" in annotations["kopf.zalando.org/last-handled-configuration"]


@_example("11-filtering-handlers")
def test_filters_choose_by_labels_annotations_and_fields(example: Example) -> None:
    example.operator.says("Creation is processed: 10 succeeded; 0 failed.")
    example.operator.says("Field daemon is satisfied.")
    example.change({"field": "changed"})
    example.operator.says("Field change is satisfied.")
    written = example.operator.written
    assert "Label callback matching." in written
    assert "mismatch" not in written
    assert "not satisfied" not in written


@_example("14-daemons")
def test_daemons_live_as_long_as_their_object(example: Example) -> None:
    example.operator.says("=> Ping from a sync daemon: field='value', retry=3")
    example.operator.says("=> Ping from an async daemon: field='value'")
    example.delete()


@_example("15-timers")
def test_timers_run_while_nothing_changes(example: Example) -> None:
    example.operator.says("Ping from a sync timer: field='value'")


@_example("16-indexing")
def test_indexes_follow_a_builtin_kind(example: Example) -> None:
    example.kubectl("run", "seen", "--image=any", "-n", "default", "--labels=shown=yes")
    try:
        example.operator.says("Timer 'intervalled' succeeded.")
    finally:
        example.kubectl("delete", "pod", "seen", "-n", "default", "--grace-period=1")


@_example("99-all-at-once")
def test_everything_at_once(example: Example) -> None:
    example.operator.says("This pod is special for us.")
    example.operator.says("Handler 'create_pod' succeeded.")
    assert {"AnyReason", "SomeReason"} <= {event["reason"] for event in example.events()}
    # One of its handlers fails at first and would be tried again in a minute: deletion does not wait for that.
    example.delete()
    assert "Creation is superseded by deletion: 2 succeeded; 0 failed" in example.operator.written
