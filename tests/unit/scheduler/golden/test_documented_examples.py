"""What upstream's documentation says happens in its examples; each test names the page and the example."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.scheduler.golden.deciding import Deciding
from tiphys.scheduler.plugin_args import (
    REQUESTED_TO_CAPACITY_RATIO,
    NodeResourcesFitArgs,
    RequestedToCapacityRatioParam,
    ResourceSpec,
    ScoringStrategy,
    UtilizationShapePoint,
)
from tiphys.scheduler.profiles import default_profile

FOO = {"foo": "bar"}


def _constraint(key: str, *, skew: int = 1, when: str = "DoNotSchedule", **more: Any) -> dict[str, Any]:
    selector = {"labelSelector": {"matchLabels": FOO}}
    return {"maxSkew": skew, "topologyKey": key, "whenUnsatisfiable": when, **selector, **more}


def _zones(*pods: tuple[str, int], zones: tuple[str, ...] = ("zoneA", "zoneB")) -> Deciding:
    """Two nodes a zone, node1 and node2 in zoneA and so on, with so many pods on each."""
    made = Deciding()
    for number in range(2 * len(zones)):
        made.node(f"node{number + 1}", {"zone": zones[number // 2], "node": f"node{number + 1}"})
    for node, count in pods:
        for index in range(count):
            made.place(node, f"{node}-{index}", FOO)
    return made


class TestPodTopologySpreadConstraints:
    """Page "Pod Topology Spread Constraints"."""

    def test_one_constraint(self) -> None:
        """Example: one topology spread constraint."""
        cluster = _zones(("node1", 1), ("node2", 1), ("node3", 1))
        assert cluster.fits(FOO, topologySpreadConstraints=[_constraint("zone")]) == {"node3", "node4"}

    def test_a_wider_skew_allows_the_fuller_zone_too(self) -> None:
        """The same with maxSkew 2, and with ScheduleAnyway, which only prefers."""
        cluster = _zones(("node1", 1), ("node2", 1), ("node3", 1))
        everywhere = {"node1", "node2", "node3", "node4"}
        assert cluster.fits(FOO, topologySpreadConstraints=[_constraint("zone", skew=2)]) == everywhere
        anyway = _constraint("zone", when="ScheduleAnyway")
        assert cluster.fits(FOO, topologySpreadConstraints=[anyway]) == everywhere
        assert cluster.goes_to(FOO, topologySpreadConstraints=[anyway]) <= {"node3", "node4"}

    def test_several_constraints(self) -> None:
        """Example: multiple topology spread constraints."""
        cluster = _zones(("node1", 1), ("node2", 1), ("node3", 1))
        both = [_constraint("zone"), _constraint("node")]
        assert cluster.goes_to(FOO, topologySpreadConstraints=both) == {"node4"}

    def test_conflicting_constraints(self) -> None:
        """Example: conflicting topology spread constraints: the pod stays pending."""
        cluster = Deciding()
        for node, zone in (("node1", "zoneA"), ("node2", "zoneA"), ("node3", "zoneB")):
            cluster.node(node, {"zone": zone, "node": node})
        for node, count in (("node1", 2), ("node2", 1), ("node3", 2)):
            for index in range(count):
                cluster.place(node, f"{node}-{index}", FOO)
        both = [_constraint("zone"), _constraint("node")]
        assert cluster.goes_to(FOO, topologySpreadConstraints=both) == set()
        message = cluster.refusal(FOO, topologySpreadConstraints=both).message
        assert message.startswith("0/3 nodes are available: 3 node(s) didn't match pod topology spread constraints.")

    def test_with_node_affinity(self) -> None:
        """Example: topology spread constraints with node affinity: zoneC does not count."""
        cluster = _zones(("node1", 1), ("node2", 1), ("node3", 1), zones=("zoneA", "zoneB", "zoneC"))
        away = {"key": "zone", "operator": "NotIn", "values": ["zoneC"]}
        terms = {"nodeSelectorTerms": [{"matchExpressions": [away]}]}
        affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
        spec = {"affinity": affinity, "topologySpreadConstraints": [_constraint("zone")]}
        assert cluster.fits(FOO, **spec) == {"node3", "node4"}
        ignoring = [_constraint("zone", nodeAffinityPolicy="Ignore")]
        assert cluster.fits(FOO, **{**spec, "topologySpreadConstraints": ignoring}) == set()

    def test_min_domains(self) -> None:
        """Field minDomains: with fewer domains the global minimum is 0."""
        cluster = _zones(("node1", 1), ("node2", 1), ("node3", 2))
        three = [_constraint("zone", skew=2, minDomains=3)]
        assert cluster.fits(FOO, topologySpreadConstraints=three) == set()
        assert cluster.fits(FOO, topologySpreadConstraints=[_constraint("zone", skew=2, minDomains=2)])

    def test_nodes_without_the_key_are_bypassed(self) -> None:
        """Implicit conventions: no pod goes to a node without the topologyKey, and pods there do not count."""
        cluster = _zones(("node1", 1))
        cluster.node("node5", {"node": "node5"})
        cluster.place("node5", "p5", FOO)
        assert cluster.fits(FOO, topologySpreadConstraints=[_constraint("zone")]) == {"node3", "node4"}

    def test_a_pod_that_does_not_match_itself(self) -> None:
        """Implicit conventions: what happens if the incoming pod's selector does not match its own labels."""
        cluster = _zones(("node1", 1), ("node2", 1), ("node3", 1))
        everywhere = {"node1", "node2", "node3", "node4"}
        assert cluster.fits({"other": "label"}, topologySpreadConstraints=[_constraint("zone")]) == everywhere


class TestAssigningPodsToNodes:
    """Page "Assigning Pods to Nodes"."""

    def test_node_affinity(self) -> None:
        """Example with-node-affinity: a zone of two is required, a label is preferred."""
        cluster = Deciding()
        zone = "topology.kubernetes.io/zone"
        cluster.node("east", {zone: "antarctica-east1"})
        cluster.node("west", {zone: "antarctica-west1", "another-node-label-key": "another-node-label-value"})
        cluster.node("north", {zone: "antarctica-north1", "another-node-label-key": "another-node-label-value"})
        values = ["antarctica-east1", "antarctica-west1"]
        required = {"nodeSelectorTerms": [{"matchExpressions": [{"key": zone, "operator": "In", "values": values}]}]}
        wish = {"key": "another-node-label-key", "operator": "In", "values": ["another-node-label-value"]}
        preferred = [{"weight": 1, "preference": {"matchExpressions": [wish]}}]
        affinity = {
            "requiredDuringSchedulingIgnoredDuringExecution": required,
            "preferredDuringSchedulingIgnoredDuringExecution": preferred,
        }
        spec = {"affinity": {"nodeAffinity": affinity}}
        assert cluster.fits(**spec) == {"east", "west"}
        assert cluster.goes_to(**spec) == {"west"}

    def test_node_affinity_weight(self) -> None:
        """Example with-affinity-preferred-weight: linux is required, label-2 weighs 50 against label-1's 1."""
        cluster = Deciding()
        for name, labels in (("one", {"label-1": "key-1"}), ("two", {"label-2": "key-2"})):
            cluster.node(name, {"kubernetes.io/os": "linux", **labels})
        cluster.node("windows", {"kubernetes.io/os": "windows", "label-1": "key-1", "label-2": "key-2"})

        def wish(weight: int, key: str, value: str) -> dict[str, Any]:
            expression = {"key": key, "operator": "In", "values": [value]}
            return {"weight": weight, "preference": {"matchExpressions": [expression]}}

        linux = {"matchExpressions": [{"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}]}
        affinity = {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [linux]},
            "preferredDuringSchedulingIgnoredDuringExecution": [
                wish(1, "label-1", "key-1"),
                wish(50, "label-2", "key-2"),
            ],
        }
        assert cluster.goes_to(affinity={"nodeAffinity": affinity}) == {"two"}

    def test_pod_affinity(self) -> None:
        """Example with-pod-affinity: in zones with a pod of security=S1, away from zones with one of security=S2."""
        zone = "topology.kubernetes.io/zone"
        cluster = Deciding()
        for name in ("v1", "v2", "r1", "q1"):
            cluster.node(name, {zone: name[0].upper()})
        cluster.place("v1", "s1", {"security": "S1"})
        cluster.place("r1", "s1-too", {"security": "S1"})
        cluster.place("r1", "s2", {"security": "S2"})

        def about(value: str) -> dict[str, Any]:
            expression = {"key": "security", "operator": "In", "values": [value]}
            return {"labelSelector": {"matchExpressions": [expression]}, "topologyKey": zone}

        affinity = {
            "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [about("S1")]},
            "podAntiAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": about("S2")}]
            },
        }
        assert cluster.fits(affinity=affinity) == {"v1", "v2", "r1"}
        assert cluster.goes_to(affinity=affinity) <= {"v1", "v2"}

    def test_cache_and_web_servers(self) -> None:
        """More practical use-cases: three caches on three nodes, each with a web server beside it."""
        cluster = Deciding()
        for number in range(3):
            cluster.node(f"node-{number + 1}")

        def about(app: str) -> dict[str, Any]:
            selector = {"matchExpressions": [{"key": "app", "operator": "In", "values": [app]}]}
            return {"labelSelector": selector, "topologyKey": "kubernetes.io/hostname"}

        required = "requiredDuringSchedulingIgnoredDuringExecution"
        store = {"podAntiAffinity": {required: [about("store")]}}
        web = {"podAntiAffinity": {required: [about("web-store")]}, "podAffinity": {required: [about("store")]}}
        assert cluster.goes_to({"app": "web-store"}, affinity=web) == set()
        for app, affinity in (("store", store), ("web-store", web)):
            nodes = []
            for index in range(3):
                (node, *_) = sorted(cluster.goes_to({"app": app}, affinity=affinity))
                cluster.place(node, f"{app}-{index}", {"app": app}, affinity=affinity)
                nodes.append(node)
            assert sorted(nodes) == ["node-1", "node-2", "node-3"]
            assert cluster.goes_to({"app": app}, affinity=affinity) == set()


class TestTaintsAndTolerations:
    """Page "Taints and Tolerations"."""

    TAINTS = (
        {"key": "key1", "value": "value1", "effect": "NoSchedule"},
        {"key": "key1", "value": "value1", "effect": "NoExecute"},
        {"key": "key2", "value": "value2", "effect": "NoSchedule"},
    )

    def test_one_taint_is_left(self) -> None:
        """The pod tolerates two of three taints: it will not be able to schedule onto the node."""
        cluster = Deciding()
        cluster.node("node1", taints=list(self.TAINTS))
        same = {"key": "key1", "operator": "Equal", "value": "value1"}
        two = [{**same, "effect": "NoSchedule"}, {**same, "effect": "NoExecute"}]
        assert cluster.goes_to(tolerations=two) == set()
        assert "1 node(s) had untolerated taint(s)" in cluster.refusal(tolerations=two).message
        assert cluster.goes_to(tolerations=[*two, {"key": "key2", "operator": "Exists"}]) == {"node1"}

    @pytest.mark.parametrize(
        ("toleration", "tolerates"),
        [
            ({"operator": "Exists"}, True),
            ({"key": "key1", "operator": "Exists"}, True),
            ({"key": "key1", "operator": "Exists", "effect": "NoExecute"}, False),
            ({"key": "key1", "value": "other"}, False),
            ({"key": "key1", "value": "value1", "effect": ""}, True),
        ],
    )
    def test_what_matches(self, toleration: dict[str, Any], tolerates: bool) -> None:
        """An empty key with Exists matches everything, an empty effect all effects; the operator defaults to Equal."""
        cluster = Deciding()
        cluster.node("node1", taints=[self.TAINTS[0]])
        assert bool(cluster.goes_to(tolerations=[toleration])) == tolerates

    def test_prefer_no_schedule_is_no_more_than_that(self) -> None:
        cluster = Deciding()
        cluster.node("node1", taints=[{"key": "k", "value": "v", "effect": "PreferNoSchedule"}])
        assert cluster.goes_to() == {"node1"}
        cluster.node("node2")
        assert cluster.goes_to() == {"node2"}


class TestResourceBinPacking:
    """Page "Resource Bin Packing", section "Node scoring for capacity allocation"."""

    def test_the_worked_example(self) -> None:
        """intel.com/foo weighs 5, memory 3, cpu 1: by the page's arithmetic Node 1 gets 5 and Node 2 gets 7 of 10."""
        strategy = ScoringStrategy(
            type=REQUESTED_TO_CAPACITY_RATIO,
            resources=(ResourceSpec("intel.com/foo", 5), ResourceSpec("memory", 3), ResourceSpec("cpu", 1)),
            requested_to_capacity_ratio=RequestedToCapacityRatioParam(
                shape=(UtilizationShapePoint(0, 0), UtilizationShapePoint(100, 10))
            ),
        )
        args = {"NodeResourcesFit": NodeResourcesFitArgs(scoring_strategy=strategy)}
        profile = default_profile(args=args)
        cluster = Deciding(profile)
        cluster.node("node1", cpu="8", memory="1Gi", **{"intel.com__foo": "4"})
        cluster.node("node2", cpu="8", memory="1Gi", **{"intel.com__foo": "8"})
        cluster.place("node1", "used1", {}, {"intel.com/foo": "1", "memory": "256Mi", "cpu": "1"})
        cluster.place("node2", "used2", {}, {"intel.com/foo": "2", "memory": "512Mi", "cpu": "6"})
        info = cluster.info("incoming", {}, {"intel.com/foo": "2", "memory": "256Mi", "cpu": "2"})
        fit = next(plugin for plugin in profile.plugins if plugin.name == "NodeResourcesFit")
        score = fit.score(info.template, cluster.cluster)
        assert score is not None
        rows = cluster.cluster.nodes.rows
        found = score.score(slice(None))
        # In hundredths, which is what the scheduler computes with, the page's grades are 75, 50, 37 and 50, 75, 100.
        assert found[rows["node1"]] == round((75 * 5 + 50 * 3 + 37) / 9)
        assert found[rows["node2"]] == round((50 * 5 + 75 * 3 + 100) / 9)


class TestPodOverhead:
    """Page "Pod Overhead", usage example: 2000m and 200Mi of containers, 250m and 120Mi of overhead."""

    @pytest.mark.parametrize(
        ("cpu", "memory", "fits"), [("2250m", "320Mi", True), ("2249m", "320Mi", False), ("3", "319Mi", False)]
    )
    def test_the_overhead_counts(self, cpu: str, memory: str, fits: bool) -> None:
        cluster = Deciding()
        cluster.node("node1", cpu=cpu, memory=memory)
        requests = {"cpu": "2000m", "memory": "200Mi"}
        overhead = {"cpu": "250m", "memory": "120Mi"}
        assert bool(cluster.goes_to({}, requests, overhead=overhead)) == fits


class TestPodPriorityAndPreemption:
    """Page "Pod Priority and Preemption"."""

    def test_affinity_to_a_victim(self) -> None:
        """Inter-Pod affinity on lower-priority Pods: without them the affinity would not hold, so none is removed."""
        cluster = Deciding()
        cluster.node("n", cpu="4")
        cluster.place("n", "friend", {"app": "friend"}, {"cpu": "4"}, priority=0)
        term = {"labelSelector": {"matchLabels": {"app": "friend"}}, "topologyKey": "kubernetes.io/hostname"}
        near = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
        assert cluster.refusal({}, {"cpu": "2"}, priority=10, affinity=near).preemption is None
        assert cluster.refusal({}, {"cpu": "2"}, priority=10).preemption is not None

    def test_no_preemption_on_other_nodes(self) -> None:
        """Cross node preemption: removing Q from another node of the zone would help, and is not done."""
        zone = "topology.kubernetes.io/zone"
        cluster = Deciding()
        cluster.node("n", {zone: "z"}, cpu="1")
        cluster.node("m", {zone: "z"}, cpu="0")
        term = {"labelSelector": {"matchLabels": {"app": "p"}}, "topologyKey": zone}
        apart = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
        cluster.place("m", "q", {"app": "q"}, {}, priority=0, affinity=apart)
        assert cluster.refusal({"app": "p"}, {"cpu": "1"}, priority=10).preemption is None

    def test_a_pod_that_never_preempts(self) -> None:
        """Non-preempting PriorityClass."""
        cluster = Deciding()
        cluster.node("n", cpu="1")
        cluster.place("n", "low", {}, {"cpu": "1"}, priority=0)
        refused = cluster.refusal({}, {"cpu": "1"}, priority=10, preemptionPolicy="Never")
        assert refused.preemption is None
        assert "not eligible due to preemptionPolicy=Never." in refused.message
