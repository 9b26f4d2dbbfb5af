"""PodTopologySpread: allow a larger skew, do not insist, or give a node the label that the constraint asks for."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tiphys.scheduler.arrays import Ints
from tiphys.scheduler.explaining.changed_objects import patched
from tiphys.scheduler.explaining.groups import Group
from tiphys.scheduler.explaining.remedies.candidate import Candidate, Scene, remove_op, replace_op

_NAME = "PodTopologySpread"


def relax_spreading(scene: Scene, group: Group, rows: Ints) -> Iterator[Candidate]:
    for index, constraint in enumerate(scene.pod.spec.topology_spread_constraints):
        if constraint.when_unsatisfiable != "DoNotSchedule":
            continue
        base = f"/spec/topologySpreadConstraints/{index}"
        skew = _smallest_skew(scene, index, constraint.max_skew, rows)
        key = constraint.topology_key
        if skew is not None:
            text = f"allow a maxSkew of {skew} instead of {constraint.max_skew} over {key}"
            yield Candidate("RaiseMaxSkew", text, (scene.patch(replace_op(f"{base}/maxSkew", skew)),), 3)
        text = f"only prefer to spread over {key} (whenUnsatisfiable: ScheduleAnyway)"
        change = scene.patch(replace_op(f"{base}/whenUnsatisfiable", "ScheduleAnyway"))
        operations = change.patch
        if constraint.min_domains is not None:
            # Only a constraint that insists may have one.
            operations = (*operations, remove_op(f"{base}/minDomains"))
            text_fewer = f"remove minDomains {constraint.min_domains} of the constraint over {key}"
            yield Candidate("RemoveMinDomains", text_fewer, (scene.patch(remove_op(f"{base}/minDomains")),), 3)
        yield Candidate("PreferSpreading", text, (scene.patch(*operations),), 4)


def _smallest_skew(scene: Scene, index: int, current: int, rows: Ints) -> int | None:
    """The least maxSkew with which the plugin accepts some of the rows; the more is allowed, the more are accepted."""
    low, high = current, current + sum(scene.cluster.placed.values()) + 1
    if not _accepts(scene, index, high, rows):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        if _accepts(scene, index, middle, rows):
            high = middle
        else:
            low = middle
    return high


def _accepts(scene: Scene, index: int, skew: int, rows: Ints) -> bool:
    change = scene.patch(replace_op(f"/spec/topologySpreadConstraints/{index}/maxSkew", skew))
    return bool(np.any(scene.model.judge_by(patched(scene.pod, change), _NAME)[rows]))
