"""Which changes make the pod fit: candidates of one or two steps, each tried on the model; the smallest are kept.

groups, few reasons first ──fixers──► candidates ──tried one by one──► remedies
                                └──► pairs, for nodes that two plugins reject ──tried──┘
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import msgspec
import numpy as np

from tiphys.api.errors import ApiError
from tiphys.scheduler.arrays import Ints
from tiphys.scheduler.explaining.explanation import MAXIMUM_EXAMPLES, Change, Remedy, shorten
from tiphys.scheduler.explaining.groups import Group, group, reasons_of
from tiphys.scheduler.explaining.remedies import (
    FIXERS,
    Candidate,
    Scene,
    add_fitting_node,
    add_node,
    claims_and_volumes,
    create_claims,
)
from tiphys.scheduler.explaining.remedies.candidate import listed

MAXIMUM_STEPS: Final = 2
ADD_NODE: Final = "AddNode"
REMOVE_PODS: Final = "RemovePods"
A_STEP: Final = 4
"""What a second step weighs."""
MAXIMUM_GROUPS: Final = 16
MAXIMUM_TRIALS: Final = 240
"""How often the filters are run at most: about a millisecond each at 5,000 nodes."""
MAXIMUM_OF_A_KIND: Final = 2
MAXIMUM_PAIRS_BESIDE_SINGLES: Final = 2


class Found(NamedTuple):
    """A candidate that works."""

    candidate: Candidate
    nodes: tuple[str, ...]


def search(scene: Scene, groups: list[Group]) -> list[Remedy]:
    """Remedies that work, the smallest first."""
    trials = _Trials(scene)
    if scene.judgement.pod_reasons:
        first = [*claims_and_volumes(scene), *create_claims(scene)]
        singles = trials.working(first)
        pairs = [] if singles else trials.working(_after(scene, first))
    else:
        singles = trials.working(_singles(scene, groups))
        pairs = trials.working(_pairs(scene, groups, trials))
        if not singles and not pairs:
            pairs = trials.working(_with_new_node(scene))
    kept = _best([_shrunk(found, trials) for found in singles])
    # What a part does alone needs no other part.
    shrunk = [_shrunk(found, trials) for found in pairs]
    small = [found for found in shrunk if not any(map(trials.helps, _parts(found.candidate)))]
    kept += _best(small)[: MAXIMUM_PAIRS_BESIDE_SINGLES if kept else None]
    if not scene.judgement.pod_reasons and not any(ADD_NODE in found.candidate.kind for found in kept):
        kept += _best(trials.working(add_fitting_node(scene)))[:1]
    kept.sort(key=lambda found: found.candidate.weight + A_STEP * (found.candidate.steps - 1))
    return [_remedy(found) for found in kept]


class _Trials:
    """Tries candidates, each once, within the bound."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._left = MAXIMUM_TRIALS
        self._known: dict[bytes, Found | None] = {}

    def working(self, candidates: Iterable[Candidate]) -> list[Found]:
        found = []
        for candidate in candidates:
            key = _identity(candidate.changes)
            if key in self._known:
                continue
            if self._left <= 0:
                break
            if (result := self._try(candidate)) is not None:
                found.append(result)
        return found

    def known(self, candidate: Candidate) -> Found | None:
        """What is known of its changes, as this candidate."""
        found = self._known.get(_identity(candidate.changes))
        return found and found._replace(candidate=candidate)

    def helps(self, changes: tuple[Change, ...]) -> bool:
        """Whether these changes are enough; tried if that is not known. Beyond twice the bound: taken to be."""
        key = _identity(changes)
        if key not in self._known:
            if self._left < -MAXIMUM_TRIALS:
                return True
            self._try(Candidate("", "", changes, 0))
        return self._known[key] is not None

    def works(self, candidate: Candidate) -> bool:
        """Whether it is known to work."""
        return self._known.get(_identity(candidate.changes)) is not None

    def _try(self, candidate: Candidate) -> Found | None:
        self._left -= 1
        try:
            nodes = self._scene.model.fitting(self._scene.pod, candidate.changes)
        except ApiError:
            # Two changes that do not go together, such as of something that the other removes.
            nodes = ()
        result = Found(candidate, nodes) if nodes else None
        self._known[_identity(candidate.changes)] = result
        return result


def _singles(scene: Scene, groups: list[Group]) -> Iterator[Candidate]:
    for one in groups[:MAXIMUM_GROUPS]:
        plugins = list(dict.fromkeys(reason.plugin for reason in one.reasons))
        if len(plugins) == 1:
            yield from _of_plugin(scene, one, plugins[0], one.rows)
    yield from add_node(scene)


def _pairs(scene: Scene, groups: list[Group], trials: _Trials) -> Iterator[Candidate]:
    for one in groups[:MAXIMUM_GROUPS]:
        plugins = list(dict.fromkeys(reason.plugin for reason in one.reasons))
        if len(plugins) != MAXIMUM_STEPS:
            continue
        for first in _of_plugin(scene, one, plugins[0], one.rows):
            rows = one.rows if first.rows is None else first.rows
            for second in _of_plugin(scene, one, plugins[1], rows):
                if first.steps + second.steps <= MAXIMUM_STEPS and not trials.works(first) and not trials.works(second):
                    yield _both(first, second)


def _after(scene: Scene, first: list[Candidate]) -> Iterator[Candidate]:
    """What is needed beside a first change, that keeps the pod from all nodes while it is not made."""
    for one in first:
        with scene.model.changed(scene.pod, one.changes) as pod:
            judgement = scene.model.judge(pod)
            groups = group(judgement, reasons_of(judgement, scene.cluster))
            second = [] if judgement.pod_reasons else list(_singles(Scene(pod, scene.model, judgement), groups))
        for candidate in second:
            if one.steps + candidate.steps <= MAXIMUM_STEPS:
                yield _both(one, candidate)


def _with_new_node(scene: Scene) -> Iterator[Candidate]:
    """A new node and a change of the pod: for what no empty node of today's kinds could take."""
    for new in add_node(scene):
        with scene.model.changed(scene.pod, new.changes):
            row = scene.cluster.nodes.rows[new.changes[0].name]
            judgement = scene.model.judge(scene.pod)
            there = Scene(scene.pod, scene.model, judgement)
            plugins = [name for name, rejected in judgement.rejects.items() if rejected[row]]
            if judgement.pod_reasons or len(plugins) != 1:
                continue
            reasons = tuple(reason for reason in judgement.reasons() if reason.rows[row])
            rows = np.array([row])
            second = [c for c in _of_plugin(there, Group(rows, reasons), plugins[0], rows) if c.rows is None]
        for candidate in second:
            if new.steps + candidate.steps <= MAXIMUM_STEPS:
                yield _both(candidate, new)


def _of_plugin(scene: Scene, group: Group, plugin: str, rows: Ints) -> Iterator[Candidate]:
    for fixer in FIXERS.get(plugin, ()):
        yield from fixer(scene, group, rows)


def _both(first: Candidate, second: Candidate) -> Candidate:
    return Candidate(
        f"{first.kind}+{second.kind}",
        f"{first.text}, and {second.text}",
        (*first.changes, *(change for change in second.changes if change not in first.changes)),
        first.weight + second.weight,
        None,
        first.steps + second.steps,
    )


def _best(found: list[Found]) -> list[Found]:
    """The lightest first, at most a few of a kind."""
    found = sorted(found, key=lambda f: (f.candidate.steps, f.candidate.weight, -len(f.nodes), f.candidate.text))
    kinds: dict[str, int] = {}
    kept = []
    for one in found:
        kinds[one.candidate.kind] = kinds.get(one.candidate.kind, 0) + 1
        if kinds[one.candidate.kind] <= MAXIMUM_OF_A_KIND:
            kept.append(one)
    return kept


def _parts(candidate: Candidate) -> Iterator[tuple[Change, ...]]:
    """Both sides of every cut, and all but one of the changes."""
    changes = candidate.changes
    for index in range(1, len(changes)):
        yield changes[:index]
        yield changes[index:]
    for index in range(len(changes) if len(changes) > MAXIMUM_STEPS else 0):
        yield (*changes[:index], *changes[index + 1 :])


def _shrunk(found: Found, trials: _Trials) -> Found:
    """Without the pods that need not go, if it is pods that go."""
    kept = found.candidate.changes
    if len(kept) < 2 or any((change.kind, change.action) != ("Pod", "delete") for change in kept):
        return found
    for change in kept:
        fewer = tuple(other for other in kept if other != change)
        if fewer and trials.helps(fewer):
            kept = fewer
    if len(kept) == len(found.candidate.changes):
        return found
    names = listed([f"{change.namespace}/{change.name}" for change in kept])
    text = f"remove {'pod' if len(kept) == 1 else f'{len(kept)} pods'} {names}"
    shown = found.candidate._replace(kind=REMOVE_PODS, text=text, changes=kept, weight=6 + len(kept), steps=1)
    return trials.known(shown) or found


def _identity(changes: tuple[Change, ...]) -> bytes:
    return msgspec.json.encode(changes)


def _remedy(found: Found) -> Remedy:
    candidate = found.candidate
    return Remedy(
        kind=candidate.kind,
        text=shorten(candidate.text, 600),
        changes=candidate.changes,
        nodes=len(found.nodes),
        examples=tuple(sorted(found.nodes)[:MAXIMUM_EXAMPLES]),
    )
