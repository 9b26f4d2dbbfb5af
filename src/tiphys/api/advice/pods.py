"""Warnings about pods and pod templates."""

from __future__ import annotations

from typing import Final

from tiphys.api import names
from tiphys.api.field_errors import quote
from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import (
    Container,
    EphemeralContainer,
    NodeSelectorTerm,
    Pod,
    PodSpec,
    PodTemplateSpec,
    Volume,
)
from tiphys.api.types.meta_v1 import ObjectMeta

_FRACTION: Final = "is invalid, must be an integer"
_DEPRECATED_LABELS: Final = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
}
_DEPRECATED_VOLUMES: Final = (
    ("git_repo", "gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("photon_persistent_disk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("scale_io", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
)
_CRITICAL: Final = "scheduler.alpha.kubernetes.io/critical-pod"
_SECCOMP: Final = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_CONTAINER: Final = "container.seccomp.security.alpha.kubernetes.io/"
_APP_ARMOR: Final = "container.apparmor.security.beta.kubernetes.io/"
_HOST_NAME: Final = (
    "this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended"
)


def advise_pod(pod: Pod) -> list[str]:
    """Warnings about a Pod."""
    found: list[str] = []
    messages = names.dns_label(pod.metadata.name or "")
    if messages:
        found.append(f"metadata.name: {_HOST_NAME}: [{' '.join(messages)}]")
    _advise_spec(pod.spec, pod.metadata, "", found)
    return found


def advise_template(template: PodTemplateSpec | None, path: str) -> list[str]:
    """Warnings about the Pods that will be made from the template at `path`."""
    found: list[str] = []
    if template is not None:
        _advise_spec(template.spec, template.metadata, f"{path}.", found)
    return found


def _advise_spec(spec: PodSpec, metadata: ObjectMeta, prefix: str, found: list[str]) -> None:
    path = f"{prefix}spec"
    if spec.node_selector:
        old = [label for label in spec.node_selector if label in _DEPRECATED_LABELS]
        found.extend(f"{path}.nodeSelector[{label}]: {_DEPRECATED_LABELS[label]}" for label in old)
    if spec.affinity is not None and spec.affinity.node_affinity is not None:
        _advise_affinity(spec, f"{path}.affinity.nodeAffinity", found)
    for index, constraint in enumerate(spec.topology_spread_constraints):
        key = constraint.topology_key
        if key in _DEPRECATED_LABELS:
            found.append(f"{path}.topologySpreadConstraints[{index}].topologyKey: {key} is {_DEPRECATED_LABELS[key]}")
    if metadata.annotations:
        _advise_annotations(metadata, prefix, found)
    if spec.host_aliases:
        _advise_aliases(spec, path, found)
    if spec.image_pull_secrets:
        _advise_secrets(spec, path, found)
    for index, container in enumerate(spec.containers):
        if container.env or container.resources.limits or container.resources.requests or container.ports:
            _advise_container(container, f"{path}.containers[{index}]", found)
    for index, container in enumerate(spec.init_containers):
        _advise_container(container, f"{path}.initContainers[{index}]", found)
    for index, ephemeral in enumerate(spec.ephemeral_containers):
        _advise_container(ephemeral, f"{path}.ephemeralContainers[{index}]", found)
    for index, volume in enumerate(spec.volumes):
        _advise_volume(volume, f"{path}.volumes[{index}]", found)
    grace = spec.termination_grace_period_seconds
    if grace is not None and grace < 0:
        detail = "must be >= 0; negative values are invalid and will be treated as 1"
        found.append(f"{path}.terminationGracePeriodSeconds: {detail}")
    _advise_fractions(dict(spec.overhead), f"{path}.overhead", found)


def _advise_affinity(spec: PodSpec, path: str, found: list[str]) -> None:
    affinity = spec.affinity.node_affinity if spec.affinity is not None else None
    if affinity is None:
        return
    selector = affinity.required_during_scheduling_ignored_during_execution
    if selector is not None:
        where = f"{path}.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
        advise_terms(selector.node_selector_terms, where, found)
    for index, preferred in enumerate(affinity.preferred_during_scheduling_ignored_during_execution):
        where = f"{path}.preferredDuringSchedulingIgnoredDuringExecution[{index}].preference"
        _advise_term(preferred.preference, where, found)


def advise_terms(terms: tuple[NodeSelectorTerm, ...], path: str, found: list[str]) -> None:
    """Deprecated labels in node selector terms."""
    for index, term in enumerate(terms):
        _advise_term(term, f"{path}[{index}]", found)


def _advise_term(term: NodeSelectorTerm, path: str, found: list[str]) -> None:
    for index, expression in enumerate(term.match_expressions):
        if expression.key in _DEPRECATED_LABELS:
            where = f"{path}.matchExpressions[{index}].key"
            found.append(f"{where}: {expression.key} is {_DEPRECATED_LABELS[expression.key]}")


def _advise_annotations(metadata: ObjectMeta, prefix: str, found: list[str]) -> None:
    path = f"{prefix}metadata.annotations"
    for key in metadata.annotations:
        if key == _CRITICAL:
            found.append(f'{path}[{key}]: non-functional in v1.16+; use the "priorityClassName" field instead')
        elif key == _SECCOMP or key.startswith(_SECCOMP_CONTAINER):
            found.append(f'{path}[{key}]: non-functional in v1.27+; use the "seccompProfile" field instead')
        elif key.startswith(_APP_ARMOR):
            found.append(f'{path}[{key}]: deprecated since v1.30; use the "appArmorProfile" field instead')


def _advise_aliases(spec: PodSpec, path: str, found: list[str]) -> None:
    seen: set[str] = set()
    for index, alias in enumerate(spec.host_aliases):
        if alias.ip in seen:
            found.append(f"{path}.hostAliases[{index}].ip: duplicate ip {quote(alias.ip)}")
        seen.add(alias.ip)


def _advise_secrets(spec: PodSpec, path: str, found: list[str]) -> None:
    seen: set[str] = set()
    for index, secret in enumerate(spec.image_pull_secrets):
        name = secret.name or ""
        where = f"{path}.imagePullSecrets[{index}].name"
        if not name:
            found.append(f"{where}: invalid empty name {quote(name)}")
        elif name in seen:
            found.append(f"{where}: duplicate name {quote(name)}")
        seen.add(name)


def _advise_container(container: Container | EphemeralContainer, path: str, found: list[str]) -> None:
    if len(container.env) > 1:
        seen: set[str] = set()
        for index, variable in enumerate(container.env):
            if variable.name in seen:
                hides = f"hides previous definition of {quote(variable.name)}"
                found.append(f"{path}.env[{index}]: {hides}, which may be dropped when using apply")
            seen.add(variable.name)
    if len(container.ports) > 1:
        ports: dict[tuple[int, str | None, str | None, int | None], int] = {}
        for index, port in enumerate(container.ports):
            key = (port.container_port, port.protocol, port.host_ip, port.host_port)
            first = ports.setdefault(key, index)
            if first != index:
                found.append(f"{path}.ports[{index}]: duplicate port definition with {path}.ports[{first}]")
    resources = container.resources
    _advise_fractions(resources.limits, f"{path}.resources.limits", found)
    _advise_fractions(resources.requests, f"{path}.resources.requests", found)


def _advise_fractions(quantities: dict[str, Quantity], path: str, found: list[str]) -> None:
    for name in ("memory", "ephemeral-storage"):
        quantity = quantities.get(name)
        if quantity is not None and quantity[-1] in "mun":
            found.append(f"{path}[{name}]: fractional byte value {quote(quantity)} {_FRACTION}")


def _advise_volume(volume: Volume, path: str, found: list[str]) -> None:
    empty = volume.empty_dir
    if empty is not None:
        if empty.size_limit is not None and empty.size_limit[-1] in "mun":
            found.append(f"{path}.emptyDir.sizeLimit: fractional byte value {quote(empty.size_limit)} {_FRACTION}")
        return
    if volume.projected is not None or volume.config_map is not None or volume.secret is not None:
        return
    for attribute, name, text in _DEPRECATED_VOLUMES:
        if getattr(volume, attribute) is not None:
            found.append(f"{path}.{name}: {text}")
    if volume.ephemeral is not None and volume.ephemeral.volume_claim_template is not None:
        requests = volume.ephemeral.volume_claim_template.spec.resources.requests
        advise_storage(requests, f"{path}.ephemeral.volumeClaimTemplate.spec.resources.requests", found)


def advise_storage(requests: dict[str, Quantity], path: str, found: list[str]) -> None:
    """A fractional number of bytes asked of storage."""
    quantity = requests.get("storage")
    if quantity is not None and quantity[-1] in "mun":
        found.append(f"{path}[storage]: fractional byte value {quote(quantity)} {_FRACTION}")
