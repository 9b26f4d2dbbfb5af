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
    return sum(min(count, _room(template, evaluations[template], cluster)) for template, count in wanted.items())


def _room(template: Template, evaluations: Evaluations, cluster: Cluster) -> int:
    nodes = cluster.nodes
    vector = cluster.vector(template)
    depends = template.affinity or template.spread
    rows = np.flatnonzero(nodes.active if depends else evaluations.of(template).feasible())
    columns = np.flatnonzero(vector)
    free = nodes.allocatable[np.ix_(rows, columns)] - nodes.requested[np.ix_(rows, columns)]
    if not len(rows):
        return 0
    return int(np.maximum(free // vector[columns], 0).min(axis=1).sum())
