"""The whole state placement is decided on: nodes, the pods on them, and a log of which pod came or went where.

Pure: changed by calls, does no I/O. Pods on a node not (or no longer) known wait aside until it appears.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

import numpy as np

from tiphys.api.types.core_v1 import Node, NodeSelector, PersistentVolume
from tiphys.scheduler.arrays import ABSENT, Ints
from tiphys.scheduler.node_match import matches_term
from tiphys.scheduler.nodes import NodeTable
from tiphys.scheduler.relations import Relations
from tiphys.scheduler.template import HostPort, PodInfo, Template
from tiphys.scheduler.terms import Namespaces
from tiphys.scheduler.volumes import ClaimKey, VolumeTable

MAXIMUM_LOG = 8_192

K = TypeVar("K", bound=Hashable)
PodKey = tuple[str, str]
Version = tuple[int, int, int, int]


class Change(NamedTuple):
    """A pod like `template` came to `row` (`sign` 1) or left it (-1)."""

    template: Template
    row: int
    sign: int
    terminating: bool


class Cluster:
    """Nodes, pods, volumes and the change log. `version` moves when more changed than pods on nodes."""

    def __init__(self) -> None:
        self.nodes = NodeTable()
        self.namespaces = Namespaces()
        self.volumes = VolumeTable()
        self.pods_on: dict[int, dict[PodKey, PodInfo]] = {}
        #: Templates that some pod on some node has; and of those, the ones whose pods bear on others.
        self.placed: dict[Template, int] = {}
        self.placed_with_terms: dict[Template, int] = {}
        self.relations = Relations()
        #: The priorities of pods on nodes, each with their number.
        self.priorities: dict[int, int] = {}
        #: Host ports in use: by port, then row, the number of pods.
        self.host_ports: dict[HostPort, dict[int, int]] = {}
        #: By claim and row, and by row and claim, the number of pods there that use it.
        self.claim_users: dict[ClaimKey, dict[int, int]] = {}
        self.claims_on: dict[int, dict[ClaimKey, int]] = {}
        self._aside: dict[str, dict[PodKey, PodInfo]] = {}
        self._log: list[Change] = []
        self._log_start = 0
        self._vectors: dict[int, Ints] = {}
        self._vectors_width = 0
        self._terms_version = 0
        self._plugin_epochs: dict[str, int] = {}
        #: By volume, its affinity and the rows it selects, while the nodes stay as they were.
        self._reach: dict[str, tuple[NodeSelector, Ints]] = {}
        self._reach_version = -1

    def version(self, template: Template) -> Version:
        """What must be equal for what was derived for the template to hold still. Volumes concern pods with claims."""
        volumes = self.volumes.epoch if template.claims else 0
        if template.facts:
            # What plugins keep themselves concerns pods that have something for them alone.
            volumes += sum(self._plugin_epochs.get(name, 0) for name in template.facts)
        return (self.nodes.version, self.namespaces.epoch, self._terms_version, volumes)

    def moved(self, plugin: str) -> None:
        """What that plugin knows besides has changed: its answers for templates with facts of it hold no longer."""
        self._plugin_epochs[plugin] = self._plugin_epochs.get(plugin, 0) + 1

    @property
    def position(self) -> int:
        """The end of the change log."""
        return self._log_start + len(self._log)

    def changes_since(self, position: int) -> Sequence[Change] | None:
        """The log from `position` on; None if it no longer reaches that far back."""
        if position < self._log_start:
            return None
        return self._log[position - self._log_start :]

    def vector(self, template: Template) -> Ints:
        """The template's requests in the order of the nodes' resource columns."""
        known = self._vectors.get(template.id)
        if known is None or len(known) != len(self.nodes.resources):
            if len(self._vectors) > 10_000:
                self._vectors.clear()
            known = self._vectors[template.id] = self.nodes.vector(template.requests)
        return known

    def reach(self, volume: PersistentVolume) -> Ints | None:
        """The rows of the nodes that can use the volume; None for all."""
        affinity = volume.spec.node_affinity
        if affinity is None or affinity.required is None:
            return None
        if self._reach_version != self.nodes.version:
            self._reach.clear()
            self._reach_version = self.nodes.version
        terms = affinity.required.node_selector_terms
        known = self._reach.get(volume.metadata.name or "")
        if known is None or known[0] is not affinity.required:
            within = np.zeros(self.nodes.size, np.bool_)
            for term in terms:
                within |= matches_term(term, self.nodes)
            known = self._reach[volume.metadata.name or ""] = (affinity.required, np.flatnonzero(within))
        return known[1]

    def add_node(self, node: Node) -> None:
        row = self.nodes.add(node)
        self.pods_on[row] = {}
        for info in self._aside.pop(node.metadata.name or "", {}).values():
            self.place(info, info.node_name)

    def update_node(self, node: Node) -> bool:
        """Returns whether anything changed that placement depends on."""
        return self.nodes.update(node)

    def remove_node(self, name: str) -> None:
        """The node is gone; its pods are kept aside until they are removed or it returns."""
        pods = list(self.pods_on[self.nodes.rows[name]].values())
        for info in pods:
            self.remove(info)
        del self.pods_on[self.nodes.remove(name)]
        for info in pods:
            self.place(info, name)

    def set_namespace(self, name: str, labels: dict[str, str] | None) -> bool:
        return self.namespaces.set(name, labels)

    def place(self, info: PodInfo, node_name: str) -> None:
        """The pod counts on that node from now on. It must not be placed already."""
        info.node_name = node_name
        row = self.nodes.rows.get(node_name, ABSENT)
        if row == ABSENT:
            self._aside.setdefault(node_name, {})[info.key] = info
            return
        info.row = row
        self.pods_on[row][info.key] = info
        self._count(info, 1)

    def remove(self, info: PodInfo) -> None:
        """The pod no longer counts."""
        if info.row == ABSENT:
            waiting = self._aside.get(info.node_name)
            if waiting is not None and waiting.pop(info.key, None) is not None and not waiting:
                del self._aside[info.node_name]
            return
        del self.pods_on[info.row][info.key]
        self._count(info, -1)
        info.row = ABSENT

    @contextmanager
    def hosting(self, others: Iterable[PodInfo], node_name: str) -> Iterator[None]:
        """As if `others`, which have no node, were there: for a question that is asked meanwhile.

        What was derived from the cluster meanwhile is stale afterwards, until it is refreshed.
        """
        guests = [PodInfo(other.pod, other.template) for other in others]
        for guest in guests:
            self.place(guest, node_name)
        try:
            yield
        finally:
            for guest in guests:
                self.remove(guest)

    def terminating(self, info: PodInfo) -> None:
        """The pod is being deleted: it still takes room, but spreading no longer counts it."""
        placed = info.row != ABSENT
        if placed:
            self._count(info, -1)
        info.terminating = True
        if placed:
            self._count(info, 1)

    def _count(self, info: PodInfo, sign: int) -> None:
        template, row, nodes = info.template, info.row, self.nodes
        vector = self.vector(template)
        if sign > 0:
            nodes.requested[row] += vector
            nodes.nonzero[row] += template.nonzero
        else:
            nodes.requested[row] -= vector
            nodes.nonzero[row] -= template.nonzero
        _tally(template.terminating if info.terminating else template.running, row, sign)
        known = template in self.placed
        _tally(self.placed, template, sign)
        if not known:
            self.relations.add(template)
        elif sign < 0 and template not in self.placed:
            self.relations.remove(template)
        _tally(self.priorities, info.priority, sign)
        if template.has_terms:
            _tally(self.placed_with_terms, template, sign)
            if not known:
                # A term nobody had before: what was derived without it is incomplete.
                self._terms_version += 1
        for use in template.claims:
            self._count_claim((template.namespace, use.name), row, sign)
        for port in template.host_ports:
            _tally(self.host_ports.setdefault(port, {}), row, sign)
        if len(self._log) >= MAXIMUM_LOG:
            del self._log[: MAXIMUM_LOG // 2]
            self._log_start += MAXIMUM_LOG // 2
        self._log.append(Change(template, row, sign, info.terminating))

    def _count_claim(self, claim: ClaimKey, row: int, sign: int) -> None:
        users = self.claim_users.setdefault(claim, {})
        _tally(users, row, sign)
        if not users:
            del self.claim_users[claim]
        here = self.claims_on.setdefault(row, {})
        _tally(here, claim, sign)
        if not here:
            del self.claims_on[row]


def _tally(counts: dict[K, int], key: K, sign: int) -> None:
    total = counts.get(key, 0) + sign
    if total:
        counts[key] = total
    else:
        counts.pop(key, None)
