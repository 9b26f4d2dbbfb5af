"""Zeros that say what their absence says are not kept; those of fields where they say more are."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.api import codec, zeros
from tiphys.api.types.apps_v1 import Deployment
from tiphys.api.types.core_v1 import Event, PersistentVolumeClaim, Pod, Service
from tiphys.api.types.scheduling_v1 import PriorityClass


def kept(kind: type[Any], manifest: dict[str, Any]) -> dict[str, Any]:
    obj = codec.from_dict(kind, manifest)
    zeros.drop(obj)
    return codec.to_dict(obj)


CONTAINER = {"name": "c", "image": "i"}
QUIET = {"stdin": False, "tty": False, "workingDir": "", "env": [{"name": "A", "value": ""}]}


@pytest.mark.parametrize(
    ("zero", "plain"),
    [
        ({"hostNetwork": False, "hostPID": False, "hostname": "", "nodeName": ""}, {}),
        ({"tolerations": [{"key": "a", "value": "", "effect": ""}]}, {"tolerations": [{"key": "a"}]}),
        (
            {
                "containers": [
                    {**CONTAINER, "stdin": False, "tty": False, "workingDir": "", "env": [{"name": "A", "value": ""}]}
                ]
            },
            {"containers": [{**CONTAINER, "env": [{"name": "A"}]}]},
        ),
        (
            {"containers": [{**CONTAINER, "livenessProbe": {"initialDelaySeconds": 0, "periodSeconds": 5}}]},
            {"containers": [{**CONTAINER, "livenessProbe": {"periodSeconds": 5}}]},
        ),
        (
            {"volumes": [{"name": "v", "emptyDir": {"medium": ""}}]},
            {"volumes": [{"name": "v", "emptyDir": {}}]},
        ),
    ],
)
def test_dropped(zero: dict[str, Any], plain: dict[str, Any]) -> None:
    assert kept(Pod, {"spec": zero}) == codec.to_dict(codec.from_dict(Pod, {"spec": plain}))


def test_pointers_keep_their_zeros() -> None:
    spec = {"automountServiceAccountToken": False, "enableServiceLinks": False, "priority": 0}
    found = kept(Pod, {"spec": spec})["spec"]
    assert {name: found[name] for name in spec} == spec
    assert (
        kept(Deployment, {"spec": {"replicas": 0, "revisionHistoryLimit": 0, "paused": False}})["spec"]["replicas"] == 0
    )
    claim = kept(PersistentVolumeClaim, {"spec": {"storageClassName": "", "volumeName": ""}})["spec"]
    assert (claim["storageClassName"], "volumeName" in claim) == ("", False)
    assert kept(Service, {"spec": {"allocateLoadBalancerNodePorts": False}})["spec"] == {
        "allocateLoadBalancerNodePorts": False
    }


def test_what_is_always_on_the_wire_stays() -> None:
    assert kept(PriorityClass, {"value": 0, "globalDefault": False})["value"] == 0
    assert kept(Event, {"reportingComponent": "", "count": 0})["reportingComponent"] == ""


def test_a_body_without_zeros_is_not_walked() -> None:
    pod = codec.from_dict(Pod, {"spec": {"hostNetwork": False}})
    zeros.drop(pod, b'{"spec":{"hostname":"a","priority":10,"x":"0"}}')
    assert pod.spec.host_network is False
    for body in (b'{"hostNetwork":false}', b'{"a": false }', b'{"a":""}', b'{"a":0}', b'{"a": 0,"b":1}'):
        pod.spec.host_network = False
        zeros.drop(pod, body)
        assert pod.spec.host_network is None
