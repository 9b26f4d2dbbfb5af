"""An upper bound of how many pods of a gang the nodes have room for: what is below the minimum need not be tried."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np

from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.evaluation import Evaluations
from tiphys.scheduler.template import Template


def room_for(templates: Iterable[tuple[Template, Evaluations]], cluster: Cluster) -> int:
    """No more of these pods (one entry a pod) fit at the same time; one kind's room is counted apart from another's.

    Never too low: pods that want company or an even spread find nodes feasible only once others of the gang are placed,
    so for them every node counts that has the room.
    """
    wanted: Counter[Template] = Counter()
    evaluations: dict[Template, Evaluations] = {}
    for template, known in templates:
        wanted[template] += 1
        evaluations[template] = known
    return sum(_room(template, count, evaluations[template], cluster) for template, count in wanted.items())


def _room(template: Template, count: int, evaluations: Evaluations, cluster: Cluster) -> int:
    nodes, evaluation = cluster.nodes, evaluations.of(template)
    depends = template.affinity or template.spread
    rows = np.flatnonzero(nodes.active if depends else evaluation.feasible())
    demand = evaluation.room()
    if not len(rows):
        return 0
    if demand is None:
        return count
    columns, amounts = demand[0][demand[1] > 0], demand[1][demand[1] > 0]
    free = nodes.allocatable[np.ix_(rows, columns)] - nodes.requested[np.ix_(rows, columns)]
    room = np.maximum(free // amounts, 0).min(axis=1, initial=count)
    return min(count, int(room.sum()))
