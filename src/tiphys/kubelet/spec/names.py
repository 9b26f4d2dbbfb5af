"""How a pod and its containers are marked in the runtime, so that the next kubelet knows them again."""

from __future__ import annotations

from typing import Final

from tiphys.api.types.core_v1 import Pod
from tiphys.kubelet.lifecycle.state import AnyContainer

POD_NAME: Final = "io.kubernetes.pod.name"
POD_NAMESPACE: Final = "io.kubernetes.pod.namespace"
POD_UID: Final = "io.kubernetes.pod.uid"
CONTAINER_NAME: Final = "io.kubernetes.container.name"
RESTART_COUNT: Final = "io.kubernetes.container.restartCount"
TERMINATION_MESSAGE_PATH: Final = "io.kubernetes.container.terminationMessagePath"
TERMINATION_MESSAGE_POLICY: Final = "io.kubernetes.container.terminationMessagePolicy"
GRACE_PERIOD: Final = "io.kubernetes.pod.terminationGracePeriod"
CONFIG_SOURCE: Final = "kubernetes.io/config.source"
CONFIG_HASH: Final = "kubernetes.io/config.hash"
CONFIG_MIRROR: Final = "kubernetes.io/config.mirror"

DEFAULT_MESSAGE_PATH: Final = "/dev/termination-log"


def key_of(pod: Pod) -> str:
    """``namespace/name``, for people."""
    return f"{pod.metadata.namespace}/{pod.metadata.name}"


def uid_of(pod: Pod) -> str:
    """What the pod is called on the node: its uid; a static pod's mirror is known by the hash of its manifest."""
    return pod.metadata.annotations.get(CONFIG_MIRROR) or pod.metadata.uid or ""


def is_mirror(pod: Pod) -> bool:
    """Whether it is the API's picture of a static pod."""
    return CONFIG_MIRROR in pod.metadata.annotations


def sandbox_labels(pod: Pod) -> dict[str, str]:
    return {
        **pod.metadata.labels,
        POD_NAME: pod.metadata.name or "",
        POD_NAMESPACE: pod.metadata.namespace or "",
        POD_UID: uid_of(pod),
    }


def container_labels(pod: Pod, container: AnyContainer) -> dict[str, str]:
    return {
        CONTAINER_NAME: container.name,
        POD_NAME: pod.metadata.name or "",
        POD_NAMESPACE: pod.metadata.namespace or "",
        POD_UID: uid_of(pod),
    }


def container_annotations(pod: Pod, container: AnyContainer, attempt: int) -> dict[str, str]:
    grace = pod.spec.termination_grace_period_seconds
    return {
        RESTART_COUNT: str(attempt),
        TERMINATION_MESSAGE_PATH: container.termination_message_path or DEFAULT_MESSAGE_PATH,
        TERMINATION_MESSAGE_POLICY: container.termination_message_policy or "File",
        GRACE_PERIOD: str(30 if grace is None else grace),
    }


def log_folder(pod: Pod) -> str:
    """The folder of a pod's logs, below the node's."""
    return f"{pod.metadata.namespace}_{pod.metadata.name}_{uid_of(pod)}"


def hostname_of(pod: Pod, cluster_domain: str) -> tuple[str, str]:
    """(hostname, domain): the pod's hostname, at most 63 characters, and its domain ("" without a subdomain)."""
    spec = pod.spec
    if spec.hostname_override:
        return spec.hostname_override, ""
    hostname = (spec.hostname or (pod.metadata.name or ""))[:63].rstrip("-.")
    if not spec.subdomain:
        return hostname, ""
    return hostname, f"{spec.subdomain}.{pod.metadata.namespace}.svc.{cluster_domain}"
