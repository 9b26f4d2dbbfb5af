"""What a plugin answers for one row is what it answers for all, whatever a node has and is asked for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.scheduler.objects import node, pod
from tiphys.scheduler.arrays import ALL
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.profiles import default_profile
from tiphys.scheduler.template import PodInfo, Templates

PROFILE = default_profile()
CPU = st.sampled_from(("", "0", "1m", "100m", "333m", "1", "7", "64"))
MEMORY = st.sampled_from(("", "0", "1", "1Mi", "100Mi", "3000M", "7Gi", "999999999999"))
NODES = st.lists(st.tuples(CPU, MEMORY, st.sampled_from(("0", "1", "3", "110"))), min_size=1, max_size=6)
PODS = st.lists(st.tuples(CPU, MEMORY, st.integers(0, 5)), max_size=8)


@given(nodes=NODES, pods=PODS, asked=st.tuples(CPU, MEMORY))
def test_one_row_is_answered_as_all_are(
    nodes: list[tuple[str, str, str]], pods: list[tuple[str, str, int]], asked: tuple[str, str]
) -> None:
    cluster, templates = Cluster(), Templates()
    for index, (cpu, memory, room) in enumerate(nodes):
        cluster.add_node(node(f"n{index}", cpu=cpu or "0", memory=memory or "0", pods=room))
    kept = []
    for index, (cpu, memory, where) in enumerate(pods):
        placed = pod(f"p{index}", cpu=cpu, memory=memory)
        info = PodInfo(placed, templates.of(placed))
        kept.append(info)
        cluster.place(info, f"n{where % len(nodes)}")
    template = templates.of(pod("new", cpu=asked[0], memory=asked[1]))
    cluster.vector(template)
    for plugin in PROFILE.filters:
        node_filter = plugin.filter(template, cluster)
        if node_filter is not None:
            passes = node_filter.passes(ALL)
            assert [node_filter.passes_one(row) for row in cluster.nodes.rows.values()] == [
                bool(passes[row]) for row in cluster.nodes.rows.values()
            ], plugin.name
    for plugin, _ in PROFILE.scores:
        score = plugin.score(template, cluster)
        if score is not None:
            scores = score.score(ALL)
            assert [score.score_one(row) for row in cluster.nodes.rows.values()] == [
                int(scores[row]) for row in cluster.nodes.rows.values()
            ], plugin.name
