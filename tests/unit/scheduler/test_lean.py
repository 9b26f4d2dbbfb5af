"""What of a pod the scheduler keeps, and that replicas share it."""

from __future__ import annotations

from tests.unit.scheduler.objects import container, node, pod
from tiphys.api import codec
from tiphys.api.types.core_v1 import (
    ConfigMapVolumeSource,
    ContainerImage,
    EnvVar,
    Node,
    PersistentVolumeClaimVolumeSource,
    Pod,
    PodCondition,
    Toleration,
    Volume,
)
from tiphys.scheduler.lean import LeanNodes, LeanPods
from tiphys.scheduler.template import Templates


def _pod(name: str) -> Pod:
    made = pod(
        name,
        labels={"app": "x"},
        containers=(container(cpu="1", env=(EnvVar(name="A", value="1"),)),),
        tolerations=(Toleration(key="a", operator="Exists"),),
        volumes=(
            Volume(name="settings", config_map=ConfigMapVolumeSource(name="s")),
            Volume(name="data", persistent_volume_claim=PersistentVolumeClaimVolumeSource(claim_name="c")),
        ),
    )
    made.status.conditions = tuple(
        PodCondition(type=kind, status="True") for kind in ("PodScheduled", "Ready", "Initialized")
    )
    return codec.decode(Pod, codec.encode(made))


def test_replicas_share_what_they_have_in_common() -> None:
    lean = LeanPods()
    one, two = lean(_pod("one")), lean(_pod("two"))
    assert one.metadata.name == "one" and two.metadata.name == "two"
    assert one.spec.containers is two.spec.containers
    assert one.spec.tolerations is two.spec.tolerations
    assert one.metadata.labels is two.metadata.labels


def test_what_is_dropped_is_nothing_that_placement_depends_on() -> None:
    whole, lean = _pod("p"), LeanPods()(_pod("p"))
    templates = Templates()
    assert templates.of(whole) is templates.of(lean)
    assert [volume.name for volume in lean.spec.volumes] == ["data"]
    assert [condition.type for condition in lean.status.conditions] == ["PodScheduled"]
    assert not lean.spec.containers[0].env and lean.spec.containers[0].resources == whole.spec.containers[0].resources


def test_nodes_share_the_images_that_they_have_in_common() -> None:
    lean = LeanNodes()

    def made(name: str, *images: str) -> Node:
        fresh = node(name)
        fresh.status.images = tuple(ContainerImage(names=(image,), size_bytes=5) for image in images)
        return lean(codec.decode(Node, codec.encode(fresh)))

    one, two = made("one", "a", "b"), made("two", "b", "c")
    assert one.status.images[1] is two.status.images[0]
    assert [image.names for image in two.status.images] == [("b",), ("c",)]
