"""Why a pod has no node, and what would give it one: from a pod and the cluster's columns, computed and not guessed.

What may enter: reasons, groups of nodes, remedies and the words for them. No I/O, no clock. A remedy is only offered
after the filters were run again with it, and the cluster is left as it was.
"""

from tiphys.scheduler.explaining import preempting, replicas, workload
from tiphys.scheduler.explaining.explain import explain
from tiphys.scheduler.explaining.explanation import Explanation, Verdict
from tiphys.scheduler.explaining.gang import Gang, explain_member
from tiphys.scheduler.explaining.model import Model
from tiphys.scheduler.explaining.told import told
from tiphys.scheduler.explaining.words import render

__all__ = [
    "Explanation",
    "Gang",
    "Model",
    "Verdict",
    "explain",
    "explain_member",
    "preempting",
    "render",
    "replicas",
    "told",
    "workload",
]
