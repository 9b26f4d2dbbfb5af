"""ImageLocality: nodes that have the pod's images already, weighted by size and by how widely an image is spread."""

from __future__ import annotations

import numpy as np

from tiphys.scheduler.arrays import Ints, Rows
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.framework import MAXIMUM_SCORE, NodeScore, Plugin
from tiphys.scheduler.template import Template

_LEAST_BYTES = 23 << 20
_MOST_BYTES_A_CONTAINER = 1000 << 20


class ImageLocality(Plugin):
    name = "ImageLocality"
    of_shape = True

    def score(self, template: Template, cluster: Cluster) -> NodeScore | None:
        nodes = cluster.nodes
        present = np.zeros(nodes.size, np.int64)
        for image in template.images:
            size_bytes, rows = nodes.images.get(_with_tag(image), (0, set()))
            if rows:
                # An image few nodes have counts less, or the first node to pull it would draw every replica.
                present[list(rows)] += int(size_bytes * (len(rows) / max(nodes.count, 1)))
        most_bytes = _MOST_BYTES_A_CONTAINER * template.containers
        clipped = np.clip(present, _LEAST_BYTES, max(most_bytes, _LEAST_BYTES))
        scores = MAXIMUM_SCORE * (clipped - _LEAST_BYTES) // max(most_bytes - _LEAST_BYTES, 1)
        return _Score(scores) if scores.any() else None


class _Score(NodeScore):
    def __init__(self, scores: Ints) -> None:
        self._scores = scores

    def score(self, rows: Rows) -> Ints:
        return self._scores[rows]


def _with_tag(image: str) -> str:
    return image if ":" in image.rsplit("/", 1)[-1] else f"{image}:latest"
