"""What of a Pod may change, and what of its status."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.api_validation.objects import refused_status, refused_update
from tiphys.api.types.core_v1 import Pod

FORBIDDEN = "pod updates may not change fields other than"


def pod(container: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "c", "image": "i", **(container or {})}], **spec}}


OLD = pod(tolerations=[{"key": "a", "operator": "Exists"}], activeDeadlineSeconds=100)
UPDATES = [
    (pod({"image": "new"}, tolerations=OLD["spec"]["tolerations"], activeDeadlineSeconds=50), []),
    (pod(tolerations=[*OLD["spec"]["tolerations"], {"key": "b", "operator": "Exists"}], activeDeadlineSeconds=100), []),
    (
        pod(activeDeadlineSeconds=100),
        ["spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"],
    ),
    (
        pod(tolerations=OLD["spec"]["tolerations"], activeDeadlineSeconds=200),
        ["spec.activeDeadlineSeconds: Invalid value: 200: must be less than or equal to previous value"],
    ),
    (
        pod(tolerations=OLD["spec"]["tolerations"]),
        ["spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive integer to nil value"],
    ),
]


@pytest.mark.parametrize(("new", "problems"), UPDATES)
def test_updates(new: dict[str, Any], problems: list[str]) -> None:
    assert refused_update(Pod, OLD, new) == problems


def test_containers_do_not_come_or_go() -> None:
    more = {"spec": {"containers": [{"name": "c", "image": "i"}, {"name": "d", "image": "i"}]}}
    problem = "spec.containers: Forbidden: pod updates may not add or remove containers"
    assert refused_update(Pod, pod(), more) == [problem]


def test_other_changes_are_shown() -> None:
    (problem,) = refused_update(Pod, pod(), pod(hostname="h"))
    assert problem.startswith(f"spec: Forbidden: {FORBIDDEN}")
    assert '\n- "Hostname": "",\n+ "Hostname": "h",\n' in problem


def test_gates_open_and_never_close() -> None:
    gated, free = pod(schedulingGates=[{"name": "a"}]), pod()
    assert refused_update(Pod, gated, free) == []
    assert refused_update(Pod, free, gated) == [
        "spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'a'"
    ]
    assert refused_update(Pod, gated, pod(schedulingGates=[{"name": "a"}], nodeSelector={"z": "1"})) == []


def status(name: str, **state: Any) -> dict[str, Any]:
    return {
        "qosClass": "BestEffort",
        "containerStatuses": [{"name": name, "image": "i", "imageID": "", "state": state}],
    }


def test_what_ended_for_good_does_not_run_again() -> None:
    ended, running = status("c", terminated={"exitCode": 0}), status("c", running={})
    forbidden = "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"
    assert refused_status(Pod, pod(restartPolicy="Never"), ended, running) == [forbidden]
    assert refused_status(Pod, pod(restartPolicy="OnFailure"), ended, running) == [forbidden]
    assert refused_status(Pod, pod(restartPolicy="OnFailure"), status("c", terminated={"exitCode": 1}), running) == []
    assert refused_status(Pod, pod(), ended, running) == []
