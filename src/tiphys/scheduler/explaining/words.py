"""An explanation as text that a person reads in a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from tiphys.scheduler.explaining.explanation import Explanation, NodeGroup, Remedy, Verdict, counted
from tiphys.scheduler.explaining.phrases import phrase

_INDENT = "  "
_GROUPS = 6


def render(explanation: Explanation) -> str:
    """Several lines, without a newline at the end."""
    return "\n".join(_lines(explanation))


def _lines(explanation: Explanation) -> Iterator[str]:
    state = {Verdict.UNSCHEDULABLE: "Pending", Verdict.SCHEDULABLE: "Pending"}.get(
        explanation.verdict, str(explanation.verdict)
    )
    where = f"{explanation.subject} in namespace {explanation.namespace}"
    yield f"{where}: {state}. {explanation.summary}"
    if explanation.containers:
        yield ""
        for container in explanation.containers:
            yield f"{_INDENT}{container.name} ({container.state}): {container.detail}"
    if explanation.verdict is Verdict.UNSCHEDULABLE:
        yield from _why(explanation)
    if explanation.remedies:
        yield ""
        yield "What would make it fit (each alone; all were tried on a model of the cluster):"
        for number, remedy in enumerate(explanation.remedies, 1):
            yield f"{_INDENT}{number}. {_remedy(remedy)}"
        if explanation.owner:
            yield f"{_INDENT}Changes of the pod belong into {explanation.owner} or what made that."
    elif explanation.verdict is Verdict.UNSCHEDULABLE and not explanation.notes:
        yield ""
        yield "No single change, and no two together, were found that would make it fit."
    if explanation.pods:
        yield ""
        yield "Its pods that are not ready:" if len(explanation.pods) > 1 else "Its pod that is not ready:"
    for pod in explanation.pods:
        yield f"{_INDENT}{pod.name}: {pod.verdict}. {pod.summary}"
    for note in explanation.notes:
        yield ""
        yield note
    left_out = ", ".join(
        f"{count} {name}" for name, count in explanation.left_out.items() if count and name != "groups"
    )
    if left_out:
        yield ""
        yield f"(Not shown: {left_out}.)"


def _why(explanation: Explanation) -> Iterator[str]:
    if not explanation.reasons:
        return
    yield ""
    yield f"What stands in the way ({counted(explanation.nodes, 'node')}; one can be counted under several):"
    width = max((len(f"{reason.nodes:,}") for reason in explanation.reasons), default=1)
    for reason in explanation.reasons:
        count = f"{reason.nodes:,}".rjust(width) if reason.nodes else "-".rjust(width)
        detail = f": {reason.detail}" if reason.detail else ""
        yield f"{_INDENT}{count}  {phrase(reason.reason)}{detail}  [{reason.plugin}]"
    if explanation.groups:
        yield ""
        yield "By groups of nodes, those with least in the way first:"
        for group in explanation.groups[:_GROUPS]:
            yield from _group(group)
        more = explanation.left_out.get("groups", 0) + max(0, len(explanation.groups) - _GROUPS)
        if more:
            yield f"{_INDENT}and {more} more groups"


def _group(group: NodeGroup) -> Iterator[str]:
    labels = ", ".join(f"{key}={'|'.join(values)}" for key, values in group.labels.items())
    taints = f" tainted {', '.join(group.taints)}" if group.taints else ""
    more = ", …" if group.nodes > len(group.examples) else ""
    named = f" with {labels}" if labels else ""
    yield f"{_INDENT}{counted(group.nodes, 'node')}{named}{taints} ({', '.join(group.examples)}{more})"
    for reason in group.reasons:
        detail = f": {reason.detail}" if reason.detail else ""
        yield f"{_INDENT * 3}{phrase(reason.reason)}{detail}"


def _remedy(remedy: Remedy) -> str:
    text = remedy.text[:1].upper() + remedy.text[1:]
    if not remedy.nodes:
        return f"{text}."
    if remedy.nodes == 1 and any(change.action == "create" and change.kind == "Node" for change in remedy.changes):
        return f"{text}. Then that node takes it."
    if remedy.nodes == 1:
        return f"{text}. Then {remedy.examples[0]} takes it."
    return f"{text}. Then {remedy.nodes:,} nodes take it ({', '.join(remedy.examples)}, …)."
