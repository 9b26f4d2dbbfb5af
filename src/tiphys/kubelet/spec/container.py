"""What a container is made from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tiphys.api.types.core_v1 import Container, Pod
from tiphys.cri.types import ContainerConfig, Device, Image, Mount, Resources
from tiphys.kubelet.lifecycle.qos import (
    QUOTA_PERIOD_MICROSECONDS,
    oom_score_adjustment,
    quota_of,
    shares_of,
)
from tiphys.kubelet.lifecycle.state import AnyContainer
from tiphys.kubelet.spec.expansion import expand_from
from tiphys.kubelet.spec.names import container_annotations, container_labels
from tiphys.kubelet.spec.security import container_security


def container_config(
    pod: Pod,
    container: AnyContainer,
    *,
    attempt: int,
    image_ref: str,
    image: Image | None,
    variables: Mapping[str, str],
    mounts: Iterable[Mount],
    devices: Iterable[Device] = (),
    target_id: str = "",
    memory_capacity_bytes: int,
) -> ContainerConfig:
    """`variables` is the whole environment, `mounts` every mount, /etc/hosts and the termination log included.

    Raises ConfigError.
    """
    return ContainerConfig(
        name=container.name,
        attempt=attempt,
        image=image_ref,
        user_specified_image=container.image or "",
        command=tuple(expand_from(c, variables) for c in container.command),
        args=tuple(expand_from(a, variables) for a in container.args),
        working_dir=container.working_dir or "",
        envs=tuple(variables.items()),
        mounts=tuple(mounts),
        devices=tuple(devices),
        labels=container_labels(pod, container),
        annotations=container_annotations(pod, container, attempt),
        log_path=f"{container.name}/{attempt}.log",
        stdin=bool(container.stdin),
        stdin_once=bool(container.stdin_once),
        tty=bool(container.tty),
        resources=container_resources(pod, container, memory_capacity_bytes),
        security=container_security(pod, container, image, target_id),
        stop_signal=(container.lifecycle.stop_signal or "") if container.lifecycle else "",
    )


def container_resources(pod: Pod, container: AnyContainer, memory_capacity_bytes: int) -> Resources:
    limits = container.resources.limits
    requests = container.resources.requests
    cpu_limit = limits["cpu"].milli if "cpu" in limits else 0
    cpu_request = requests["cpu"].milli if "cpu" in requests else cpu_limit
    memory_limit = limits["memory"].value if "memory" in limits else 0
    own = container if isinstance(container, Container) else Container(resources=container.resources)
    return Resources(
        cpu_period_microseconds=QUOTA_PERIOD_MICROSECONDS,
        cpu_quota_microseconds=quota_of(cpu_limit),
        cpu_shares=shares_of(cpu_request),
        memory_limit_bytes=memory_limit,
        oom_score_adj=oom_score_adjustment(pod, own, memory_capacity_bytes),
        hugepage_limits={
            name.removeprefix("hugepages-"): quantity.value
            for name, quantity in limits.items()
            if name.startswith("hugepages-")
        },
    )
