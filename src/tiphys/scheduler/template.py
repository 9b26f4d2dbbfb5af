"""Pods as the scheduler sees them: a `Template` is all a placement depends on, shared by the pods that agree on it.

Ten thousand replicas are one template: it is compiled once, and what is known of the nodes for it is known for all.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Final
from weakref import WeakValueDictionary

import msgspec
import numpy as np

from tiphys.api.selectors import Selector
from tiphys.api.types.core_v1 import Container, NodeSelector, Pod, PodSpec, PreferredSchedulingTerm, Toleration
from tiphys.scheduler import requests
from tiphys.scheduler.arrays import ABSENT, Ints
from tiphys.scheduler.terms import (
    AffinityTerm,
    SpreadConstraint,
    preferred_terms,
    required_terms,
    spread_constraints,
)
from tiphys.scheduler.volumes import claims_used

# Quantities are the only values without an encoding of their own.
_encode = msgspec.json.Encoder(order="deterministic", enc_hook=str).encode
_ids = itertools.count(1)

DEFAULT_SCHEDULER_NAME: Final = "default-scheduler"
HostPort = tuple[str, str, int]
"""(address, protocol, port); the address is "0.0.0.0" for all."""


class Template:
    """What placement depends on, compiled. Compared by identity; `id` is never used twice.

    `running` and `terminating` count the pods of this template by node row; `Cluster` alone changes them.
    """

    __slots__ = (
        "__weakref__",
        "affinity",
        "anti_affinity",
        "claims",
        "containers",
        "default_spread",
        "facts",
        "host_ports",
        "id",
        "images",
        "labels",
        "namespace",
        "node_affinity",
        "node_preferences",
        "node_selector",
        "nonzero",
        "preferences",
        "requests",
        "running",
        "scheduler_name",
        "shape",
        "spread",
        "terminating",
        "tolerations",
    )

    def __init__(self, pod: Pod, default_spread: Selector | None, facts: Mapping[str, object]) -> None:
        spec = pod.spec
        #: What plugins look at beyond this: by plugin, what its `key` says of the pod.
        self.facts: Final = facts
        self.id = next(_ids)
        self.scheduler_name: Final = spec.scheduler_name or DEFAULT_SCHEDULER_NAME
        self.namespace: Final = pod.metadata.namespace or ""
        self.labels: Final = pod.metadata.labels
        self.node_selector: Final = spec.node_selector
        self.tolerations: Final[tuple[Toleration, ...]] = spec.tolerations
        held = requests.in_use(pod)
        asked = requests.pod_requests(spec, in_use=held)
        self.requests: Final = {name: amount for name, amount in asked.items() if amount}
        assumed = requests.pod_requests(spec, with_defaults=True, in_use=held)
        self.nonzero: Final[Ints] = np.array([assumed.get(requests.CPU, 0), assumed.get(requests.MEMORY, 0)], np.int64)
        self.host_ports: Final = frozenset(_host_ports(spec))
        self.containers: Final = len(spec.containers) + len(spec.init_containers)
        self.images: Final = tuple(c.image for c in (*spec.init_containers, *spec.containers) if c.image)
        #: The claims behind its volumes; few pods have any, and those with their own are templates of their own.
        self.claims: Final = claims_used(pod)
        self.spread: tuple[SpreadConstraint, ...] = spread_constraints(
            spec.topology_spread_constraints, self.namespace, self.labels
        )
        #: The pods that default spreading counts; None: the pod has constraints, or belongs to nothing.
        self.default_spread: Final = default_spread
        self._compile_affinity(spec)
        #: Equal for templates that differ only in what other pods, or plugins' own keys, see of them.
        self.shape: Final = _encode(
            (
                self.node_selector,
                self.node_affinity,
                self.node_preferences,
                self.tolerations,
                self.requests,
                self.nonzero.tolist(),
                sorted(self.host_ports),
                self.containers,
                self.images,
            )
        )
        self.running: dict[int, int] = {}
        self.terminating: dict[int, int] = {}

    def _compile_affinity(self, spec: PodSpec) -> None:
        self.node_affinity: NodeSelector | None = None
        self.node_preferences: tuple[PreferredSchedulingTerm, ...] = ()
        self.affinity: tuple[AffinityTerm, ...] = ()
        self.anti_affinity: tuple[AffinityTerm, ...] = ()
        #: Preferred terms, those of anti-affinity with a negative weight.
        self.preferences: tuple[AffinityTerm, ...] = ()
        affinity = spec.affinity
        if affinity is None:
            return
        if affinity.node_affinity is not None:
            self.node_affinity = affinity.node_affinity.required_during_scheduling_ignored_during_execution
            self.node_preferences = affinity.node_affinity.preferred_during_scheduling_ignored_during_execution
        own = (self.namespace, self.labels)
        if (to := affinity.pod_affinity) is not None:
            self.affinity = required_terms(to.required_during_scheduling_ignored_during_execution, *own)
            self.preferences = preferred_terms(to.preferred_during_scheduling_ignored_during_execution, 1, *own)
        if (anti := affinity.pod_anti_affinity) is not None:
            self.anti_affinity = required_terms(anti.required_during_scheduling_ignored_during_execution, *own)
            self.preferences += preferred_terms(anti.preferred_during_scheduling_ignored_during_execution, -1, *own)

    @property
    def has_terms(self) -> bool:
        """Whether pods of this template bear on where others go."""
        return bool(self.affinity or self.anti_affinity or self.preferences)

    def placed(self) -> Iterator[tuple[int, int]]:
        """(row, pods of this template there), terminating ones included; a row may come twice."""
        yield from self.running.items()
        yield from self.terminating.items()


class PodInfo:
    """A pod the scheduler knows of. `row` is its node's row, or ABSENT; `Cluster` alone changes it."""

    __slots__ = ("key", "node_name", "pod", "priority", "row", "start", "template", "terminating", "uid")

    def __init__(self, pod: Pod, template: Template) -> None:
        meta = pod.metadata
        self.key = (meta.namespace or "", meta.name or "")
        self.uid = meta.uid or ""
        self.pod = pod
        self.template = template
        self.priority = pod.spec.priority or 0
        self.node_name = pod.spec.node_name or ""
        self.terminating = meta.deletion_timestamp is not None
        #: Empty until it has started.
        self.start = pod.status.start_time or ""
        self.row = ABSENT


class Templates:
    """Finds the template of a pod; forgets those no pod has any more. `facts`: what plugins look at besides."""

    def __init__(self, facts: Callable[[Pod], Mapping[str, object]] | None = None) -> None:
        self._facts = facts
        self._by_key: WeakValueDictionary[bytes, Template] = WeakValueDictionary()

    def of(self, pod: Pod, default_spread: Selector | None = None) -> Template:
        if pod.spec.topology_spread_constraints:
            default_spread = None
        facts = self._facts(pod) if self._facts is not None else {}
        key = _key(pod, default_spread, facts)
        template = self._by_key.get(key)
        if template is None:
            template = self._by_key[key] = Template(pod, default_spread, facts)
        return template


def _key(pod: Pod, default_spread: Selector | None, facts: Mapping[str, object]) -> bytes:
    spec = pod.spec
    return _encode(
        (
            pod.metadata.namespace,
            pod.metadata.labels,
            spec.scheduler_name,
            # The node of a pod that has one is not a wish: replicas share a template whether bound or not.
            spec.node_selector,
            spec.affinity,
            spec.tolerations,
            spec.topology_spread_constraints,
            spec.overhead,
            spec.resources,
            spec.host_network,
            [_container_key(container) for container in spec.init_containers],
            [_container_key(container) for container in spec.containers],
            str(default_spread),
            claims_used(pod),
            requests.in_use(pod),
            facts,
        )
    )


def _container_key(container: Container) -> tuple[object, ...]:
    return (container.image, container.resources.requests, container.ports, container.restart_policy)


def _host_ports(spec: PodSpec) -> Iterator[HostPort]:
    sidecars = (c for c in spec.init_containers if c.restart_policy == "Always")
    for container in (*spec.containers, *sidecars):
        for port in container.ports:
            number = port.host_port or (port.container_port if spec.host_network else 0)
            if number:
                yield (port.host_ip or "0.0.0.0", port.protocol or "TCP", number)
