"""The answer: a document that programs read; `words.py` says it to people.

Bounded whatever the cluster's size: lists are cut, and what was left out is counted.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

import msgspec

API_VERSION: Final = "why.tiphys.io/v1"
MAXIMUM_BYTES: Final = 16 * 1024
MAXIMUM_GROUPS: Final = 12
MAXIMUM_REASONS: Final = 24
MAXIMUM_REMEDIES: Final = 8
MAXIMUM_EXAMPLES: Final = 3


class Verdict(StrEnum):
    """What holds of the pod as a whole."""

    RUNNING = "Running"
    FINISHED = "Finished"
    STARTING = "Starting"
    """It has a node; its containers do not all run, or are not ready."""
    TERMINATING = "Terminating"
    SCHEDULABLE = "Schedulable"
    """Some node would take it now: the scheduler has not come to it yet, or backs off, or does not run."""
    UNSCHEDULABLE = "Unschedulable"
    NO_NODES = "NoNodes"
    GATED = "Gated"
    WAITING = "Waiting"
    """Nodes would take it, but something else must happen first: its gang, its victims' end, its volumes."""
    UNKNOWN_SCHEDULER = "UnknownScheduler"
    NO_PODS = "NoPods"
    """A workload that has no pod to explain; the summary says why."""


class Answer(msgspec.Struct, kw_only=True, omit_defaults=True, rename="camel"):
    """Base of the parts: camelCase on the wire, absent if empty."""


class PluginReason(Answer, kw_only=True):
    """One thing a plugin says of nodes, and of how many. A node counts under every reason that holds for it."""

    plugin: str
    reason: str
    """Upstream's words, such as ``Insufficient cpu``."""
    nodes: int = 0
    """0: it is about the pod, whatever the nodes are like."""
    detail: str = ""
    """The figures behind it: ``asks for 8, most that is free on one node is 3500m (node-17)``."""


class NodeGroup(Answer, kw_only=True):
    """Nodes that reject the pod for the same set of reasons."""

    nodes: int
    reasons: tuple[PluginReason, ...]
    labels: dict[str, tuple[str, ...]] = {}
    """What tells them from others: a few label keys that all of them have, each with its (at most 3) values."""
    taints: tuple[str, ...] = ()
    """Taints that all of them have, as ``key=value:effect``."""
    examples: tuple[str, ...] = ()


class Change(Answer, kw_only=True):
    """One change of one object, in a form that can be applied.

    `patch` is a JSON patch (RFC 6902) of the object; for a pod of a workload the paths continue the workload's
    ``/spec/template``. `like`: the new node is one like that node, empty, and then patched.
    """

    action: str
    """``patch``, ``create`` or ``delete``."""
    kind: str
    name: str
    namespace: str = ""
    patch: tuple[dict[str, Any], ...] = ()
    like: str = ""
    object: dict[str, Any] | None = None


class Remedy(Answer, kw_only=True):
    """What would make the pod fit. All changes together; one is enough if there are no more."""

    kind: str
    """The kinds of its steps, joined by ``+``: ``LowerRequest``, ``Uncordon+Tolerate`` …"""
    text: str
    changes: tuple[Change, ...]
    nodes: int
    """How many nodes could take the pod then."""
    nodes_for_all: int = 0
    """Of a workload's remedy that adds a node: how many such nodes all its waiting pods need."""
    examples: tuple[str, ...] = ()


class ContainerState(Answer, kw_only=True):
    """A container of a pod that has a node, and is not what it should be."""

    name: str
    state: str
    detail: str = ""


class PodBrief(Answer, kw_only=True):
    """One pod of a workload."""

    name: str
    verdict: str
    summary: str


class Explanation(Answer, kw_only=True):
    """The whole answer for one pod, or for a workload."""

    api_version: str = API_VERSION
    kind: str = "Explanation"
    subject: str
    """``pod/NAME`` or ``deployment/NAME``."""
    namespace: str = ""
    verdict: Verdict
    summary: str
    """One sentence."""
    owner: str = ""
    """The workload to change instead of the pod, as ``Deployment/web``."""
    node: str = ""
    since: str = ""
    """When it was scheduled, or since when it is pending (RFC 3339)."""
    nodes: int = 0
    """All nodes there are."""
    fits: int = 0
    """How many of them would take the pod now."""
    reasons: tuple[PluginReason, ...] = ()
    groups: tuple[NodeGroup, ...] = ()
    remedies: tuple[Remedy, ...] = ()
    containers: tuple[ContainerState, ...] = ()
    notes: tuple[str, ...] = ()
    pods: tuple[PodBrief, ...] = ()
    reported: str = ""
    """What the scheduler itself last said in the PodScheduled condition."""
    left_out: dict[str, int] = {}
    """What was cut to stay within the bound: how many reasons, groups, remedies, pods."""


def encode(explanation: Explanation) -> bytes:
    """The JSON document. The version and the kind are always there."""
    built = {"apiVersion": explanation.api_version, "kind": explanation.kind}
    return msgspec.json.encode(built | msgspec.to_builtins(explanation))


def bounded(explanation: Explanation, maximum_bytes: int = MAXIMUM_BYTES) -> Explanation:
    """The same within the bound: the least telling entries go first, and are counted in `left_out`."""
    limits = {
        "groups": MAXIMUM_GROUPS,
        "reasons": MAXIMUM_REASONS,
        "remedies": MAXIMUM_REMEDIES,
        "pods": 10,
        "notes": 8,
    }
    while True:
        parts: dict[str, Any] = {}
        left_out = dict(explanation.left_out)
        for name, limit in limits.items():
            whole = getattr(explanation, name)
            parts[name] = whole[:limit]
            if len(whole) > limit:
                left_out[name] = explanation.left_out.get(name, 0) + len(whole) - limit
        cut = msgspec.structs.replace(explanation, left_out=left_out, **parts)
        if len(encode(cut)) <= maximum_bytes or not any(limits.values()):
            return cut
        largest = max(limits, key=lambda name: len(msgspec.json.encode(parts[name])))
        limits[largest] = min(limits[largest], len(parts[largest])) - 1 if parts[largest] else 0


def counted(number: int, noun: str) -> str:
    """``1 node``, ``5,000 nodes``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def shorten(text: str, limit: int = 300) -> str:
    """`text`, cut at `limit` characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
