"""The plugins decide on a cluster in memory: no server, no waiting. `what_if` is what `tiphys simulate` runs."""

from __future__ import annotations

from typing import Any

from rack_plugins.approval import Approval
from rack_plugins.power import RackPower, RackPowerArgs
from rack_plugins.quiet import QuietNodes

from tiphys.api.codec import from_dict
from tiphys.api.types.core_v1 import ConfigMap, Node, Pod
from tiphys.scheduler.plugins import DEFAULT_PLUGINS
from tiphys.scheduler.profiles import Profile
from tiphys.scheduler.snapshot import Snapshot
from tiphys.scheduler.what_if import Outcome, what_if


def node(name: str, **labels: str) -> Node:
    room = {"cpu": "8", "memory": "16Gi", "pods": "110"}
    named = {f"example.com/{key}": value for key, value in labels.items()}
    return from_dict(Node, {"metadata": {"name": name, "labels": named}, "status": {"allocatable": room}})


def pod(name: str, *, watts: int = 0, quiet: bool = False, node_name: str = "") -> Pod:
    metadata = {
        "name": name,
        "namespace": "default",
        "annotations": {"example.com/watts": str(watts)} if watts else {},
        "labels": {"example.com/quiet": "true"} if quiet else {},
    }
    spec = {"nodeName": node_name, "containers": [{"name": "c", "image": "i"}]}
    return from_dict(Pod, {"metadata": metadata, "spec": spec})


def profile(handle: Any) -> Profile:
    """The default plugins and ours, as scheduler-config.yaml enables them."""
    own = (
        (RackPower(RackPowerArgs(budget_watts=1000), handle), 3),
        (QuietNodes(None, handle), 1),
        (Approval(None, handle), 0),
    )
    return Profile.of("default-scheduler", [*((kind(None, handle), weight) for kind, weight in DEFAULT_PLUGINS), *own])


def decided(*objects: Node | Pod | ConfigMap) -> Outcome:
    return what_if(Snapshot(objects, (profile,)))


def test_a_rack_gives_no_more_power_than_it_has() -> None:
    racks = (node("a1", rack="a"), node("a2", rack="a"))
    outcome = decided(*racks, *(pod(f"p{number}", watts=400) for number in range(3)))
    assert len(outcome.placements) == 2
    assert outcome.pending[0].plugins == ("RackPower",)
    assert "2 node(s) were in racks without enough power" in outcome.pending[0].reason


def test_power_is_drawn_where_most_is_left() -> None:
    objects = (node("a", rack="a"), node("b", rack="b"), pod("there", watts=500, node_name="a"), pod("new", watts=100))
    assert decided(*objects).placements[0].node == "b"


def test_nodes_without_a_rack_and_pods_without_watts_are_free() -> None:
    full = (node("a", rack="a"), pod("there", watts=1000, node_name="a"))
    assert decided(*full, pod("small")).fits
    assert decided(*full, node("elsewhere"), pod("big", watts=5000)).placements[0].node == "elsewhere"


def test_quiet_pods_go_where_it_is_quietest() -> None:
    nodes = (node("loud", decibels="80"), node("hum", decibels="40"), node("silent", decibels="10"))
    assert decided(*nodes, pod("p", quiet=True)).placements[0].node == "silent"
    refused = decided(nodes[0], pod("p", quiet=True)).pending[0]
    assert refused.reason.startswith("0/1 nodes are available: 1 node(s) were too noisy.")
    assert decided(nodes[0], pod("p")).fits


def test_a_node_that_cannot_be_asked_is_refused_alone() -> None:
    outcome = decided(node("broken", decibels="loud"), node("fine"), pod("p", quiet=True))
    assert outcome.placements[0].node == "fine"
    outcome = decided(node("broken", decibels="loud"), pod("p", quiet=True))
    assert 'plugin "QuietNodes" failed: ValueError' in outcome.pending[0].reason


def test_a_pod_keeps_its_place_until_somebody_approves() -> None:
    waits = pod("p")
    waits.metadata.annotations = {"example.com/needs-approval": "true"}
    outcome = decided(node("n"), waits)
    assert outcome.placements[0].node == "n"
    assert outcome.notes == ("1 placed pods would wait for a permit of Approval, and are taken to get it.",)
    approvals = from_dict(ConfigMap, {"metadata": {"name": "approvals", "namespace": "default"}, "data": {"p": ""}})
    assert not decided(node("n"), waits, approvals).notes
