"""Plugins of other packages: which are used, and what happens to pods when one is broken."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from typing import Any

import numpy as np
import pytest

from tests.unit.scheduler.objects import node, pod
from tiphys.api.types.core_v1 import Pod
from tiphys.cmd.config import ConfigError
from tiphys.scheduler.arrays import Bools, Ints, Rows
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.configuration import profile_makers, read
from tiphys.scheduler.framework import NodeFilter, NodeScore, Plugin, Rejected
from tiphys.scheduler.node_plugin import NodePlugin, NodeView
from tiphys.scheduler.plugin_loading import GROUP, load_plugins, registry
from tiphys.scheduler.snapshot import Snapshot
from tiphys.scheduler.template import PodInfo, Template, Templates
from tiphys.scheduler.what_if import Outcome, what_if

MODULE = "plugins_of_a_test"
CONFIGURATION = """
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles:
  - schedulerName: default-scheduler
  - schedulerName: mine
    plugins: {multiPoint: {enabled: [{name: Mine}]}}
    pluginConfig: [{name: Mine, args: {whatever: [1, 2]}}]
"""


@pytest.fixture
def module() -> Iterator[types.ModuleType]:
    made = sys.modules[MODULE] = types.ModuleType(MODULE)
    yield made
    del sys.modules[MODULE]


def point(name: str = "Mine", value: str = "") -> EntryPoint:
    return EntryPoint(name, value or f"{MODULE}:{name}", GROUP)


def decided(*points: EntryPoint, mine: bool = True) -> Outcome:
    """A pod of each profile, on one node, under the configuration above."""
    known = registry(points)
    makers = profile_makers(read(CONFIGURATION, known), known)
    objects = (node("n"), pod("theirs"), *([pod("p", scheduler_name="mine")] if mine else ()))
    return what_if(Snapshot(objects, makers))


def waits(outcome: Outcome) -> str:
    """Why the pod of the profile with the plugin waits; the other has its node."""
    assert "default/theirs" in [placed.pod for placed in outcome.placements]
    return next((waiting.reason for waiting in outcome.pending if waiting.pod == "default/p"), "")


def test_a_plugin_is_enabled_by_its_name_and_given_its_args(module: types.ModuleType) -> None:
    class Mine(Plugin):
        name = "Mine"
        args_type = dict

        def filter(self, template: Template, cluster: Cluster) -> NodeFilter | None:
            assert self.args == {"whatever": [1, 2]}
            return _Nobody()

    module.Mine = Mine  # type: ignore[attr-defined]
    assert waits(decided(point())).startswith("0/1 nodes are available: 1 nobody.")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("no_such_module_at_all:Mine", "cannot be imported: ModuleNotFoundError"),
        (f"{MODULE}:Missing", "cannot be imported: AttributeError"),
        (f"{MODULE}:function", "is no subclass of"),
        (f"{MODULE}:Other", 'calls itself "Other"'),
    ],
)
def test_one_that_cannot_be_loaded_refuses_only_its_profiles_pods(
    module: types.ModuleType, value: str, said: str
) -> None:
    module.function = lambda: None  # type: ignore[attr-defined]
    module.Other = type("Other", (Plugin,), {"name": "Other"})  # type: ignore[attr-defined]
    loaded = load_plugins([point(value=value)])
    assert said in loaded.failures["Mine"]
    reason = waits(decided(point(value=value)))
    assert 'plugin "Mine"' in reason
    assert said in reason


def test_one_of_our_names_is_not_taken(module: types.ModuleType) -> None:
    module.NodeAffinity = type("NodeAffinity", (Plugin,), {"name": "NodeAffinity"})  # type: ignore[attr-defined]
    loaded = load_plugins([point("NodeAffinity")])
    assert not loaded.plugins
    assert registry([point("NodeAffinity")])["NodeAffinity"].__module__ == "tiphys.scheduler.plugins.node_affinity"


def test_two_packages_with_one_name_are_both_refused(module: types.ModuleType) -> None:
    module.Mine = type("Mine", (Plugin,), {"name": "Mine"})  # type: ignore[attr-defined]
    loaded = load_plugins([point(), point()])
    assert "more than one package" in loaded.failures["Mine"]


def test_one_that_is_not_installed_is_an_error_of_the_configuration() -> None:
    from tiphys.cmd.scheduler import settings

    with pytest.raises(ConfigError, match="Mine"):
        settings(CONFIGURATION, host="")


class _Nobody(NodeFilter):
    reason = "nobody"

    def passes(self, rows: Rows) -> Bools:
        return np.zeros(1, np.bool_)


class _Broken(NodeFilter):
    def passes(self, rows: Rows) -> Bools:
        raise KeyError("lost")


class _WrongShape(NodeFilter):
    def passes(self, rows: Rows) -> Bools:
        return np.ones(3, np.bool_)


class _BrokenScore(NodeScore):
    normalized = True

    def score(self, rows: Rows) -> Ints:
        raise ZeroDivisionError

    def normalize(self, scores: Ints, feasible: Bools) -> Ints:
        raise ZeroDivisionError


def broken(point_: str) -> type[Plugin]:
    """A plugin that raises at one point, or whose answers do."""

    def fail(*_: Any) -> Any:
        raise ValueError("broken")

    answers: dict[str, Any] = {
        "passes": ("filter", lambda *_: _Broken()),
        "shape": ("filter", lambda *_: _WrongShape()),
        "scores": ("score", lambda *_: _BrokenScore()),
    }
    method, does = answers.get(point_, (point_, fail))
    return type("Mine", (Plugin,), {"name": "Mine", "args_type": dict, method: does})


@pytest.mark.parametrize(
    ("point_", "said"),
    [
        ("__init__", ""),
        ("filter", "failed at filter: ValueError('broken')"),
        ("passes", "failed at filter: KeyError('lost')"),
        ("shape", "failed at filter: ValueError('passes() returned the shape (3,) for"),
        ("pre_enqueue", "failed at preEnqueue"),
        ("score", ""),
        ("scores", ""),
        ("post_filter", ""),
    ],
)
def test_a_failing_plugin_is_named_and_refuses_only_what_it_must(
    module: types.ModuleType, point_: str, said: str
) -> None:
    module.Mine = broken(point_)  # type: ignore[attr-defined]
    reason = waits(decided(point()))
    assert said in reason
    assert bool(said) == bool(reason)


def test_one_that_cannot_be_made_lets_nothing_pass_at_its_points(module: types.ModuleType) -> None:
    class Mine(Plugin):
        name = "Mine"
        args_type = dict

        def __init__(self, args: Any = None, handle: Any = None) -> None:
            raise RuntimeError("no licence")

        def filter(self, template: Template, cluster: Cluster) -> NodeFilter | None:
            raise AssertionError("never asked")

    module.Mine = Mine  # type: ignore[attr-defined]
    assert "failed at start: RuntimeError('no licence')" in waits(decided(point()))


def test_a_key_that_fails_refuses_that_pod(module: types.ModuleType) -> None:
    class Mine(Plugin):
        name = "Mine"
        args_type = dict

        def key(self, pod: Pod) -> object:
            raise LookupError("no annotation")

        def filter(self, template: Template, cluster: Cluster) -> NodeFilter | None:
            return None

    module.Mine = Mine  # type: ignore[attr-defined]
    assert "failed at key: LookupError" in waits(decided(point()))


async def test_what_fails_while_a_pod_is_bound_is_a_rejection_of_that_pod(module: types.ModuleType) -> None:
    info = PodInfo(pod("p"), Templates().of(pod("p")))
    for method in ("reserve", "permit"):
        module.Mine = broken(method)  # type: ignore[attr-defined]
        plugin = load_plugins([point()]).plugins["Mine"]()
        with pytest.raises(Rejected, match=f"failed at {method}"):
            getattr(plugin, method)(info, "n")
    for method in ("pre_bind", "bind"):
        module.Mine = broken(method)  # type: ignore[attr-defined]
        plugin = load_plugins([point()]).plugins["Mine"]()
        with pytest.raises(Rejected, match=f"failed at {method}"):
            await getattr(plugin, method)(info, "n")
    for method in ("unreserve", "post_bind"):
        module.Mine = broken(method)  # type: ignore[attr-defined]
        getattr(load_plugins([point()]).plugins["Mine"](), method)(info, "n")


class TestNodePlugin:
    """What is asked, how often, and what becomes of the answers."""

    def test_it_is_asked_again_only_about_nodes_that_changed(self) -> None:
        asked: list[str] = []

        class Counting(NodePlugin):
            name = "Counting"

            def fits(self, pod: Template, node: NodeView) -> str:
                asked.append(node.name)
                return "node(s) were taken" if list(node.pods) else ""

        cluster, templates = Cluster(), Templates()
        for name in ("a", "b", "c"):
            cluster.add_node(node(name))
        plugin, template = Counting(), templates.of(pod("p", cpu="1"))
        node_filter = plugin.filter(template, cluster)
        assert node_filter is not None
        assert np.count_nonzero(node_filter.passes(slice(None))[cluster.nodes.active]) == 3
        assert sorted(asked) == ["a", "b", "c"]
        asked.clear()
        cluster.place(PodInfo(pod("p", cpu="1"), template), "b")
        row = cluster.nodes.rows["b"]
        assert node_filter.passes(slice(row, row + 1)).tolist() == [False]
        assert asked == ["b"]
        assert [reason for reason, _ in node_filter.reasons(np.array([row]))] == ["node(s) were taken"]
        assert node_filter.unresolvable(np.array([row])).all()

    def test_one_of_only_the_node_remembers_its_answers(self) -> None:
        asked: list[str] = []

        class Remembering(NodePlugin):
            name = "Remembering"
            only_the_node = True

            def rate(self, pod: Template, node: NodeView) -> float:
                asked.append(node.name)
                return {"a": -3.5, "b": 0}.get(node.name, 7)

        cluster = Cluster()
        for name in ("a", "b", "c"):
            cluster.add_node(node(name))
        plugin, template = Remembering(), Templates().of(pod("p"))
        for _ in range(2):
            score = plugin.score(template, cluster)
            assert score is not None
            rows = [cluster.nodes.rows[name] for name in ("a", "b", "c")]
            points = score.normalize(score.score(slice(None)), cluster.nodes.active)[rows]
            assert points.tolist() == [0, 33, 100]
        assert sorted(asked) == ["a", "b", "c"]
        cluster.update_node(node("b", cpu="8"))
        asked.clear()
        score = plugin.score(template, cluster)
        assert score is not None
        score.score(slice(None))
        assert asked == ["b"]

    def test_a_view_tells_what_the_node_has(self) -> None:
        cluster = Cluster()
        cluster.add_node(node("a", cpu="4"))
        cluster.place(PodInfo(pod("p", cpu="1500m"), Templates().of(pod("p", cpu="1500m"))), "a")
        view = NodeView(cluster, cluster.nodes.rows["a"])
        assert (view.allocatable("cpu"), view.requested("cpu"), view.allocatable("gpu")) == (4000, 1500, 0)
        assert (view.labels["kubernetes.io/hostname"], view.taints) == ("a", ())
        assert [info.key[1] for info in view.pods] == ["p"]

    def test_what_is_not_overridden_says_nothing(self) -> None:
        plugin = type("Silent", (NodePlugin,), {"name": "Silent"})()
        template = Templates().of(pod("p"))
        assert plugin.filter(template, Cluster()) is None
        assert plugin.score(template, Cluster()) is None
