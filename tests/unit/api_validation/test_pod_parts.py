"""What subresources change of a running Pod."""

from __future__ import annotations

from typing import Any

from tests.unit.api_validation.objects import build
from tiphys.api.types.core_v1 import Pod
from tiphys.api.validation import validate_part_update


def pod(*containers: dict[str, Any], **spec: Any) -> Pod:
    found = containers or ({},)
    listed = [{"name": f"c{index}", "image": "i", **container} for index, container in enumerate(found)]
    obj: Pod = build(Pod, {"spec": {"containers": listed, **spec}})
    return obj


def refused(part: str, new: Pod, old: Pod) -> list[str]:
    return [str(problem) for problem in validate_part_update(part, new, old)]


def test_ephemeral_containers_only_come() -> None:
    debug = {"name": "debug", "image": "busybox"}
    none, one, other = pod(), pod(ephemeralContainers=[debug]), pod(ephemeralContainers=[{**debug, "image": "other"}])
    assert refused("ephemeralcontainers", one, none) == []
    removed = 'spec.ephemeralContainers: Forbidden: existing ephemeral containers "debug" may not be removed\n'
    assert refused("ephemeralcontainers", none, one) == [removed]
    (changed,) = refused("ephemeralcontainers", other, one)
    assert changed.startswith(removed.replace("removed", "changed"))
    assert '- "Image": "busybox",' in changed


def test_ephemeral_containers_are_plain() -> None:
    probed = pod(ephemeralContainers=[{"name": "d", "image": "i", "livenessProbe": {"exec": {"command": ["x"]}}}])
    assert refused("ephemeralcontainers", probed, pod()) == [
        "spec.ephemeralContainers[0].livenessProbe: Forbidden: cannot be set for an Ephemeral Container"
    ]


def test_resizing_keeps_the_class_of_service() -> None:
    small, large = pod({"resources": {"requests": {"cpu": "1"}}}), pod({"resources": {"requests": {"cpu": "2"}}})
    assert refused("resize", large, small) == []
    (problem,) = refused("resize", large, pod())
    assert problem.endswith("Pod QOS Class may not change as a result of resizing")


def test_resizing_is_about_cpu_and_memory() -> None:
    old = pod({"resources": {"requests": {"cpu": "1", "ephemeral-storage": "1Gi"}}})
    new = pod({"resources": {"requests": {"cpu": "1", "ephemeral-storage": "2Gi"}}})
    assert refused("resize", new, old) == ["spec: Forbidden: only cpu and memory resources are mutable"]
    without = pod({"resources": {"requests": {"cpu": "1"}}})
    assert "spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed" in refused(
        "resize", without, old
    )


def test_other_parts_have_metadata_checked() -> None:
    assert refused("nothing", pod(), pod()) == []
