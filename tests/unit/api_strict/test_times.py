"""Times: what is one, what it is stored as, and where they are found."""

from __future__ import annotations

import pytest

from tiphys.api import codec, times
from tiphys.api.go_types import range_error
from tiphys.api.types.apps_v1 import Deployment
from tiphys.api.types.coordination_v1 import Lease
from tiphys.api.types.core_v1 import Node, Pod
from tiphys.api.types.policy_v1 import PodDisruptionBudget


@pytest.mark.parametrize(
    ("text", "micro", "stored"),
    [
        ("2026-01-02T03:04:05Z", False, "2026-01-02T03:04:05Z"),
        ("2026-01-02T03:04:05.678Z", False, "2026-01-02T03:04:05Z"),
        ("2026-01-02T03:04:05+02:00", False, "2026-01-02T01:04:05Z"),
        ("2026-01-02T03:04:05Z", True, "2026-01-02T03:04:05.000000Z"),
        ("2026-01-02T03:04:05.123456789Z", True, "2026-01-02T03:04:05.123456Z"),
        ("0001-01-01T00:00:00Z", False, None),
    ],
)
def test_stored_form(text: str, micro: bool, stored: str | None) -> None:
    assert times.canonical(text, micro) == stored


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("soon", 'parsing time "soon" as "2006-01-02T15:04:05Z07:00": cannot parse "soon" as "2006"'),
        ("2026-01-02", 'parsing time "2026-01-02" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "T"'),
        (
            "2026-13-01T00:00:00Z",
            'parsing time "2026-13-01T00:00:00Z" as "2006-01-02T15:04:05Z07:00": month out of range',
        ),
        ("2026-01-01T00:00:00Z!", 'parsing time "2026-01-01T00:00:00Z!": extra text: "!"'),
    ],
)
def test_no_time(text: str, message: str) -> None:
    lease = codec.from_dict(Pod, {"metadata": {"deletionTimestamp": text}})
    assert times.settle(lease) == message


def test_times_are_found_wherever_they_are() -> None:
    node = codec.from_dict(Node, {"status": {"conditions": [{"lastHeartbeatTime": "2026-01-02T03:04:05.5+00:00"}]}})
    assert times.settle(node) == ""
    assert node.status.conditions[0].last_heartbeat_time == "2026-01-02T03:04:05Z"
    lease = codec.from_dict(Lease, {"spec": {"renewTime": "2026-01-02T03:04:05Z"}})
    assert times.settle(lease) == ""
    assert lease.spec.renew_time == "2026-01-02T03:04:05.000000Z"
    budget = codec.from_dict(PodDisruptionBudget, {"status": {"disruptedPods": {"p": "2026-01-02T03:04:05.1Z"}}})
    assert times.settle(budget) == ""
    assert budget.status.disrupted_pods == {"p": "2026-01-02T03:04:05Z"}
    assert times.settle(codec.from_dict(Lease, {"spec": {"renewTime": ""}})).startswith('parsing time "" as')


def test_numbers_beyond_their_fields() -> None:
    words = "json: cannot unmarshal number 2147483648 into Go struct field DeploymentSpec.spec.replicas of type int32"
    assert range_error(Deployment, b'{"spec":{"replicas":2147483648}}') == words
    assert range_error(Deployment, b'{"spec":{"replicas":2147483647}}') == ""
    assert range_error(Pod, b'{"spec":{"terminationGracePeriodSeconds": 2147483648}}') == ""
