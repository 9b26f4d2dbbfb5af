"""Templates of one shape share what is known of the nodes; what concerns one of them alone stays its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from tests.unit.scheduler.objects import node, pod
from tiphys.api.types.core_v1 import Affinity, PodAffinityTerm, PodAntiAffinity
from tiphys.api.types.meta_v1 import LabelSelector
from tiphys.scheduler import evaluation
from tiphys.scheduler.arrays import Rows
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.evaluation import Evaluations
from tiphys.scheduler.framework import NodeScore, Plugin
from tiphys.scheduler.profiles import default_profile
from tiphys.scheduler.template import PodInfo, Template, Templates

HOST = "kubernetes.io/hostname"


class _Constant(NodeScore):
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def score(self, rows: Rows) -> Any:
        return self._cluster.nodes.requested[rows, 0]


class _Counting(Plugin):
    name = "Counting"
    of_shape = True
    asked: ClassVar[list[Template]] = []

    def score(self, template: Template, cluster: Cluster) -> NodeScore:
        self.asked.append(template)
        return _Constant(cluster)


def _cluster(count: int = 3) -> Cluster:
    cluster = Cluster()
    for index in range(count):
        cluster.add_node(node(f"n{index}"))
    return cluster


def _template(templates: Templates, app: str, **spec: Any) -> Template:
    return templates.of(pod("p", cpu="1", labels={"app": app}, **spec))


def test_a_plugin_of_shapes_is_asked_once_for_templates_that_differ_in_labels() -> None:
    _Counting.asked.clear()
    cluster, templates = _cluster(), Templates()
    evaluations = Evaluations(cluster, [(_Counting(), 1)])
    kept = [_template(templates, f"app-{index}") for index in range(5)]
    for template in kept:
        evaluations.of(template)
    assert _Counting.asked == kept[:1]
    evaluations.of(templates.of(pod("q", cpu="2", labels={"app": "app-0"})))
    assert len(_Counting.asked) == 2


def test_what_concerns_one_template_is_not_said_of_its_like() -> None:
    cluster, templates = _cluster(), Templates()
    profile = default_profile()
    evaluations = Evaluations(cluster, profile.filters, profile.scores)
    lonely, other = _template(templates, "lonely"), _template(templates, "other")
    assert lonely.shape == other.shape
    assert evaluations.of(lonely).feasible()[:].sum() == evaluations.of(other).feasible().sum() == 3
    term = PodAffinityTerm(topology_key=HOST, label_selector=LabelSelector(match_labels={"app": "lonely"}))
    anti = PodAntiAffinity(required_during_scheduling_ignored_during_execution=(term,))
    bully = pod("bully", labels={"app": "bully"}, affinity=Affinity(pod_anti_affinity=anti))
    info = PodInfo(bully, templates.of(bully))
    cluster.place(info, "n1")
    row = cluster.nodes.rows["n1"]
    assert not evaluations.of(lonely).takes(row)
    assert evaluations.of(other).takes(row)
    assert evaluations.of(lonely).why(row) == {
        "node(s) didn't satisfy existing pods anti-affinity rules": 1,
    }
    cluster.remove(info)
    assert evaluations.of(lonely).takes(row)
    assert (evaluations.of(lonely).totals() == evaluations.of(other).totals()).all()


def _kinds(templates: Templates, count: int) -> Iterator[Template]:
    for index in range(count):
        yield templates.of(pod("p", memory=f"{index + 1}Mi", labels={"app": "x"}))


def test_no_more_is_kept_than_fits() -> None:
    cluster, templates = _cluster(200), Templates()
    profile = default_profile()
    evaluations = Evaluations(cluster, profile.filters, profile.scores)
    for template in _kinds(templates, evaluation._MOST_EVALUATIONS + 10):
        assert evaluations.of(template).feasible().sum() == 200
    assert len(evaluations._by_shape) == len(evaluations._by_template) == evaluation._MOST_EVALUATIONS
