"""An outcome as text that a person reads in a terminal."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeVar

from tiphys.scheduler.simulation.outcome import Budget, Gone, NodeUse, Outcome, Pending, Placement, Room, Victim

MAXIMUM_LINES: Final = 20
"""Of a section, unless everything is asked for."""
_MAXIMUM_NODES: Final = 5
_INDENT: Final = "  "
T = TypeVar("T")


def render(outcome: Outcome, *, everything: bool = False) -> str:
    """Several lines, without a newline at the end. `everything`: a line for every pod and every node."""
    return "\n".join(_lines(outcome, everything))


def _lines(outcome: Outcome, everything: bool) -> Iterator[str]:
    before, after = outcome.before, outcome.after
    yield (
        f"A simulation (seed {outcome.seed}); nothing was changed. "
        f"Before: {_count(before.nodes, 'node')}, {_count(before.placed, 'pod')} on them, {before.pending} pending."
    )
    for number, change in enumerate(outcome.changes, 1):
        yield f"{_INDENT}{number}. {change}"
    yield from _section(
        f"Would be placed ({_count(len(outcome.placements), 'pod')}):",
        _each(outcome.placements) if everything else _grouped(outcome.placements),
        everything,
    )
    yield from _section(
        f"Would stay pending ({_count(len(outcome.pending), 'pod')}):",
        _pending_each(outcome.pending) if everything else _pending_grouped(outcome.pending),
        everything,
    )
    yield from _section(
        f"Would be preempted ({_count(len(outcome.preempted), 'pod')}):", map(_victim, outcome.preempted), everything
    )
    lost = [gone for gone in outcome.gone if gone.lost]
    yield from _section(f"Would be lost for good ({_count(len(lost), 'pod')}):", map(_lost, lost), everything)
    yield from _section("Would be removed:", _removed([gone for gone in outcome.gone if not gone.lost]), everything)
    yield from _section(
        "Would stay on drained nodes:", (f"{pod.pod} on {pod.node}: {pod.why}" for pod in outcome.stayed), everything
    )
    yield from _section("Disruption budgets:", map(_budget, outcome.budgets), everything)
    yield from _section("Nodes (requested of what they have):", _nodes(outcome.nodes, everything), everything)
    yield from _section("Notes:", outcome.notes, everything)
    yield ""
    yield (
        f"After: {_count(after.nodes, 'node')}, {_count(after.placed, 'pod')} on them, {after.pending} pending. "
        f"{_verdict(outcome)}"
    )


def _section(title: str, lines: Iterable[str], everything: bool) -> Iterator[str]:
    found = list(lines)
    if not found:
        return
    yield ""
    yield title
    shown = found if everything else found[:MAXIMUM_LINES]
    yield from (_INDENT + line for line in shown)
    if len(found) > len(shown):
        yield f"{_INDENT}… and {len(found) - len(shown)} more (--all shows them)"


def _each(placements: Sequence[Placement]) -> Iterator[str]:
    for pod in placements:
        came = f" from {pod.was}" if pod.was else ""
        yield f"{pod.pod} ({pod.cause}){came} to {pod.node}"


def _grouped(placements: Sequence[Placement]) -> Iterator[str]:
    """Pods of one owner that are placed for one reason are one line."""
    groups = _groups(placements, lambda pod: (_owner(pod.pod, pod.owner), pod.cause))
    for (owner, cause), pods in groups.items():
        came = Counter(pod.was for pod in pods if pod.was)
        from_ = f" from {_nodes_of(came, len(pods))}" if came else ""
        went = Counter(pod.node for pod in pods)
        many = _of(pods, owner)
        stays = sum(pod.was == pod.node for pod in pods)
        same = f" ({stays} on the same node as before)" if stays else ""
        yield f"{many} ({cause}){from_} to {_nodes_of(went, len(pods))}{same}"


def _pending_each(pending: Sequence[Pending]) -> Iterator[str]:
    for pod in pending:
        came = f" from {pod.was}" if pod.was else ""
        yield f"{pod.pod} ({pod.cause}{came}): {pod.reason}"


def _pending_grouped(pending: Sequence[Pending]) -> Iterator[str]:
    groups = _groups(pending, lambda pod: (_owner(pod.pod, pod.owner), pod.cause, pod.reason))
    for (owner, cause, reason), pods in groups.items():
        yield f"{_of(pods, owner)} ({cause}): {reason}"


def _groups(items: Iterable[T], key: Callable[[T], tuple[str, ...]]) -> dict[tuple[str, ...], list[T]]:
    groups: defaultdict[tuple[str, ...], list[T]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return groups


def _of(pods: Sequence[Placement | Pending | Gone], owner: str) -> str:
    """``3 pods of shop/Deployment/web``; one by its name."""
    if len(pods) > 1:
        return f"{len(pods)} pods of {owner}"
    return f"{pods[0].pod} of {pods[0].owner}" if pods[0].owner else pods[0].pod


def _owner(pod: str, owner: str) -> str:
    """``shop/Deployment/web``, or the pod itself if nobody owns it."""
    return f"{pod.partition('/')[0]}/{owner}" if owner else pod


def _nodes_of(counts: Counter[str], pods: int) -> str:
    shown = [name if pods == 1 else f"{name} ({count})" for name, count in counts.most_common(_MAXIMUM_NODES)]
    more = len(counts) - len(shown)
    return ", ".join(shown) + (f" and {_count(more, 'other node')}" if more else "")


def _victim(victim: Victim) -> str:
    again = f"{victim.owner} makes it again" if victim.recreated else "nobody makes it again"
    return f"{victim.pod} on {victim.node}, for {victim.by}; {again}"


def _lost(gone: Gone) -> str:
    return f"{gone.pod} on {gone.node}: {gone.why}"


def _removed(gone: Sequence[Gone]) -> Iterator[str]:
    for (owner, why), pods in _groups(gone, lambda pod: (_owner(pod.pod, pod.owner), pod.why)).items():
        where = Counter(pod.node for pod in pods if pod.node)
        yield f"{_of(pods, owner)}{' on ' + _nodes_of(where, len(pods)) if where else ''}: {why}"


def _budget(budget: Budget) -> str:
    said = f"{budget.name} allows {_count(budget.allowed, 'disruption')} now"
    if budget.evicted:
        wait = ": the drain waits until replacements are ready" if budget.evicted > budget.allowed else ""
        said += f"; {_count(budget.evicted, 'pod')} of it evicted{wait}"
    if budget.preempted:
        said += f"; {_count(budget.preempted, 'pod')} of it preempted, which asks no budget"
    return said


def _nodes(nodes: Sequence[NodeUse], everything: bool) -> Iterator[str]:
    shown = [node for node in nodes if everything or node.change or node.before != node.after]
    if not shown:
        return
    if not everything:
        # Changed ones first; then those that have most to do.
        shown.sort(key=lambda node: (not node.change, -_most(node), node.name))
    width = max(len("all nodes"), *(len(node.name) for node in shown[: None if everything else MAXIMUM_LINES]))
    yield f"{'all nodes'.ljust(width)}  {_all(nodes)}"
    for node in shown:
        change = f"  [{node.change}]" if node.change else ""
        yield f"{node.name.ljust(width)}  {_use(node)}{change}"


def _use(node: NodeUse) -> str:
    rooms, has = (node.before, node.after), node.allocatable
    pods = _change("-" if room is None else str(room.pods) for room in rooms)
    cpu = _change("-" if room is None else _percent(room.cpu_millis, has.cpu_millis) for room in rooms)
    memory = _change("-" if room is None else _percent(room.memory_bytes, has.memory_bytes) for room in rooms)
    return f"pods {pods}, cpu {cpu}, memory {memory}"


def _change(shown: Iterable[str]) -> str:
    """``40% → 55%``, or ``40%`` if it is the same."""
    return " → ".join(dict.fromkeys(shown))


def _percent(requested: int, has: int) -> str:
    return f"{100 * requested / has:.0f}%" if has else "0%"


def _most(node: NodeUse) -> float:
    room = node.after or node.before
    if room is None:
        return 0.0
    has = node.allocatable
    return max(room.cpu_millis / (has.cpu_millis or 1), room.memory_bytes / (has.memory_bytes or 1))


def _all(nodes: Sequence[NodeUse]) -> str:
    """All nodes as one: those that are there before, and those that are there after."""
    before = [(node.before, node) for node in nodes if node.before is not None]
    after = [(node.after, node) for node in nodes if node.after is not None]
    use = [_added(room for room, _ in there) for there in (before, after)]
    has = [_added(node.allocatable for _, node in there) for there in (before, after)]
    pods = _change(str(room.pods) for room in use)
    cpu = _change(_percent(room.cpu_millis, own.cpu_millis) for room, own in zip(use, has, strict=True))
    memory = _change(_percent(room.memory_bytes, own.memory_bytes) for room, own in zip(use, has, strict=True))
    return f"pods {pods}, cpu {cpu}, memory {memory}"


def _added(rooms: Iterable[Room]) -> Room:
    known = list(rooms)
    return Room(
        pods=sum(room.pods for room in known),
        cpu_millis=sum(room.cpu_millis for room in known),
        memory_bytes=sum(room.memory_bytes for room in known),
    )


def _verdict(outcome: Outcome) -> str:
    waits, lost = sum(not pod.gated for pod in outcome.pending), sum(gone.lost for gone in outcome.gone)
    said = f"{_count(waits, 'pod')} would find no node." if waits else "Everything that is to run would have a node."
    return f"{said} {_count(lost, 'pod')} would be lost." if lost else said


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
