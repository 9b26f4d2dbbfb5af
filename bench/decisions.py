"""The scheduler's algorithm alone: from a pod to the node it goes to, no apiserver, no I/O."""

from __future__ import annotations

import random
import time

from bench import workload
from bench.report import Report, Row
from bench.workload import MakePod
from tiphys.base.allocator import keep_freed_memory
from tiphys.scheduler.algorithm import Algorithm, Placed, Unplaceable
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.evaluation import Evaluations
from tiphys.scheduler.profiles import default_profile
from tiphys.scheduler.template import PodInfo, Templates

PROFILE = default_profile()
# What, how many pods (None: one less than nodes), upstream's own floor at 5,000 nodes on larger machines, goal.
KINDS: tuple[tuple[str, MakePod, int | None, float | None, float | None], ...] = (
    ("basic", workload.basic, 10_000, 680, 5_000),
    ("required anti-affinity to pods, by host", workload.apart, None, 60, 1_000),
    ("topology spread over zones", workload.spread, 5_000, 85, 1_000),
    ("preferred affinity to pods, by host", workload.attracted, 5_000, 90, 500),
    ("preferred affinity to pods, by zone, 100 templates", workload.attracted_mixed, 5_000, None, 500),
    ("preferred anti-affinity to pods, by host, 1,000 templates", workload.apart_mixed, 5_000, None, None),
    ("spread if possible over hosts and zones, 1,000 templates", workload.evenly_mixed, 5_000, None, None),
    ("one node each, as of a DaemonSet", workload.pinned, None, None, None),
    ("1,000 templates in turn", workload.mixed, 10_000, None, None),
    ("every pod a new template", workload.fresh, 2_000, None, None),
)


def rows(report: Report, nodes: int, *, judged: bool) -> None:
    """One row a kind of pod; `judged`: beside upstream's figure and the goal."""
    keep_freed_memory()  # as the scheduler's process does
    for name, make, pods, upstream, goal in KINDS:
        figure = per_second(nodes, nodes - 1 if pods is None else pods, make)
        title = f"scheduler's algorithm, {nodes:,} nodes, {name}"
        report.add(Row(title, figure, "pods/s", upstream if judged else None, goal if judged else None))
    title = f"scheduler's algorithm, {nodes:,} nodes, preemption, 4 pods a node"
    figure = preemptions_per_second(nodes, 1_000)
    report.add(Row(title, figure, "pods/s", 160 if judged else None, 300 if judged else None))


def per_second(nodes: int, pods: int, make: MakePod) -> float:
    """Decisions a second, the pods' parsing and the columns' update included."""
    cluster, templates, rng = Cluster(), Templates(), random.Random(0)
    for index in range(nodes):
        cluster.add_node(workload.node(index))
    evaluations = Evaluations(cluster, PROFILE.filters, PROFILE.scores)
    waiting = [make(index) for index in range(pods)]
    started = time.perf_counter()
    for pod in waiting:
        info = PodInfo(pod, templates.of(pod))
        row = evaluations.of(info.template).select(rng)
        assert row >= 0
        cluster.place(info, cluster.nodes.names[row])
    return pods / (time.perf_counter() - started)


def preemptions_per_second(nodes: int, pods: int) -> float:
    """Pods a second on full nodes: each is refused, has pods of lower priority removed, and is placed after it."""
    cluster, templates = Cluster(), Templates()
    algorithm = Algorithm(cluster, PROFILE, random.Random(0))
    for index in range(nodes):
        cluster.add_node(workload.node(index))
    for index in range(nodes * 4):
        small = workload.prioritized(index, cpu="7900m", priority=0)
        cluster.place(PodInfo(small, templates.of(small)), f"node-{index % nodes}")
    waiting = [workload.prioritized(index, cpu="9", priority=10) for index in range(pods)]
    started = time.perf_counter()
    for pod in waiting:
        info = PodInfo(pod, templates.of(pod))
        refused = algorithm.decide(info, list)
        assert isinstance(refused, Unplaceable)
        assert refused.preemption is not None
        algorithm.nominations.set(info, cluster.nodes.names[refused.preemption.row])
        for victim in refused.preemption.victims:
            cluster.terminating(victim)
            cluster.remove(victim)
        placed = algorithm.decide(info, list)
        assert isinstance(placed, Placed)
        algorithm.nominations.remove(info.key)
        cluster.place(info, placed.node_name)
    return pods / (time.perf_counter() - started)
