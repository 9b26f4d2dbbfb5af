"""Pod groups for these tests: the definitions as they are installed, groups, and their pods."""

from __future__ import annotations

from importlib import resources
from typing import Any

import msgspec
import yaml

from tests.unit.scheduler.objects import pod
from tiphys.api.types.core_v1 import Pod, PodSchedulingGroup
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.testing.control_plane import ControlPlane

LABEL = "scheduling.x-k8s.io/pod-group"
_PATHS = {
    "CustomResourceDefinition": "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
}
GROUPS = "/apis/scheduling.x-k8s.io/v1alpha1/namespaces/default/podgroups"
BUILT_IN = "/apis/scheduling.k8s.io/v1alpha2/namespaces/default/podgroups"


async def post(plane: ControlPlane, target: str, obj: dict[str, Any]) -> None:
    answer = await plane.client.raw("POST", target, msgspec.json.encode(obj))
    assert answer.status == 201, answer.body


async def install(plane: ControlPlane) -> None:
    text = (resources.files("tiphys.scheduler.gangs") / "podgroups.yaml").read_text()
    for obj in yaml.safe_load_all(text):
        await post(plane, _PATHS[obj["kind"]], obj)


async def add_group(plane: ControlPlane, name: str, minimum: int, **spec: Any) -> None:
    spec = {"minMember": minimum, **spec}
    made = {"apiVersion": "scheduling.x-k8s.io/v1alpha1", "kind": "PodGroup", "metadata": {"name": name}, "spec": spec}
    await post(plane, GROUPS, made)


async def add_built_in(plane: ControlPlane, name: str, **policy: Any) -> None:
    made = {
        "apiVersion": "scheduling.k8s.io/v1alpha2",
        "kind": "PodGroup",
        "metadata": {"name": name},
        "spec": {"schedulingPolicy": policy},
    }
    await post(plane, BUILT_IN, made)


def member(name: str, group: str = "", *, built_in: str = "", **fields: Any) -> Pod:
    """A pod of that group, by label or by field."""
    if built_in:
        fields["scheduling_group"] = PodSchedulingGroup(pod_group_name=built_in)
    made = pod(name, **fields)
    labels = made.metadata.labels | ({LABEL: group} if group else {})
    return msgspec.structs.replace(made, metadata=ObjectMeta(name=name, namespace="default", labels=labels))


async def add_members(plane: ControlPlane, group: str, count: int, **fields: Any) -> list[str]:
    names = [f"{group}-{number}" for number in range(count)]
    for name in names:
        await plane.client.create(member(name, group, **fields))
    return names
