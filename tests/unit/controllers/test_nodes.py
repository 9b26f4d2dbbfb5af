import pytest

from tiphys.api.types.core_v1 import Taint, Toleration
from tiphys.controllers.node_affinity import fits, pinned, pinned_to
from tiphys.controllers.nodeipam.reconcile import RangeError, Ranges
from tiphys.controllers.nodelifecycle import reconcile as lifecycle
from tiphys.controllers.podgc.reconcile import excess, is_orphaned, is_out_of_service, is_unscheduled_terminating
from tiphys.controllers.pods import seconds_of
from tiphys.controllers.tainteviction.reconcile import evict_at
from tiphys.testing import builders

NOW = 1_700_000_000.0


def keys(taints: tuple[Taint, ...]) -> list[str]:
    return sorted(f"{t.key.rsplit('/', 1)[-1]}:{t.effect}" for t in taints)


def test_a_lost_node_is_unknown_in_every_respect() -> None:
    conditions = lifecycle.lost(builders.node("n"), NOW)
    assert {c.type: (c.status, c.reason) for c in conditions} == {
        "Ready": ("Unknown", "NodeStatusUnknown"),
        "MemoryPressure": ("Unknown", "NodeStatusNeverUpdated"),
        "DiskPressure": ("Unknown", "NodeStatusNeverUpdated"),
        "PIDPressure": ("Unknown", "NodeStatusNeverUpdated"),
    }
    assert conditions[0].message == "Kubelet stopped posting node status."


@pytest.mark.parametrize(
    ("ready", "evict", "expected"),
    [
        ("True", True, []),
        ("False", True, ["not-ready:NoExecute", "not-ready:NoSchedule"]),
        ("Unknown", True, ["unreachable:NoExecute", "unreachable:NoSchedule"]),
        ("Unknown", False, ["unreachable:NoSchedule"]),
    ],
)
def test_taints_follow_the_ready_condition(ready: str, evict: bool, expected: list[str]) -> None:
    assert keys(lifecycle.taints(builders.node("n", ready=ready), evict=evict, now=NOW)) == expected


def test_taints_of_others_stay_and_stale_ones_go() -> None:
    mine = Taint(key="dedicated", value="db", effect="NoSchedule")
    stale = Taint(key=lifecycle.UNREACHABLE, effect="NoExecute")
    node = builders.node("n", taints=(mine, stale), unschedulable=True)
    assert keys(lifecycle.taints(node, evict=True, now=NOW)) == ["dedicated:NoSchedule", "unschedulable:NoSchedule"]


def test_when_no_node_is_ready_nobody_is_evicted() -> None:
    down = builders.node("a", ready="Unknown")
    assert lifecycle.fully_disrupted([down])
    assert not lifecycle.fully_disrupted([down, builders.node("b")])
    assert lifecycle.wants_eviction(down)
    tainted = builders.node("a", ready="Unknown", taints=(Taint(key=lifecycle.UNREACHABLE, effect="NoExecute"),))
    assert not lifecycle.wants_eviction(tainted)


def tolerating(*tolerations: Toleration) -> float | None:
    pod = builders.pod("p", node="n")
    pod.spec.tolerations = tolerations
    added = "2023-11-14T22:13:00Z"
    return evict_at(pod, [Taint(key="broken", effect="NoExecute", time_added=added)], NOW)


def test_pods_leave_when_their_toleration_ends() -> None:
    added = seconds_of("2023-11-14T22:13:00Z")
    assert tolerating() == NOW
    assert tolerating(Toleration(key="broken", operator="Exists")) is None
    assert tolerating(Toleration(operator="Exists")) is None
    assert tolerating(Toleration(key="broken", operator="Exists", toleration_seconds=300)) == added + 300
    assert tolerating(Toleration(key="broken", operator="Equal", value="other")) == NOW
    assert tolerating(Toleration(key="broken", operator="Exists", effect="NoSchedule")) == NOW
    assert evict_at(builders.pod("p"), [], NOW) is None


def test_ranges_are_given_once() -> None:
    ranges = Ranges("10.244.0.0/16", 24)
    ranges.occupy("10.244.0.0/24", "old")
    assert ranges.allocate("a") == "10.244.1.0/24"
    assert ranges.allocate("b") == "10.244.2.0/24"
    ranges.release("10.244.1.0/24", "a")
    assert ranges.allocate("c") == "10.244.3.0/24", "a range that was just given back rests"


def test_all_ranges_are_used_before_none_is_left() -> None:
    ranges = Ranges("10.0.0.0/30", 32)
    given = {ranges.allocate(str(n)) for n in range(4)}
    assert given == {f"10.0.0.{n}/32" for n in range(4)}
    with pytest.raises(RangeError, match="no remaining CIDRs"):
        ranges.allocate("more")
    ranges.release("10.0.0.2/32", "2")
    assert ranges.allocate("more") == "10.0.0.2/32"


@pytest.mark.parametrize("text", ["192.168.0.0/24", "10.244.0.0/25", "fd00::/64"])
def test_ranges_of_others_are_refused(text: str) -> None:
    with pytest.raises(RangeError):
        Ranges("10.244.0.0/16", 24).occupy(text, "n")


def test_finished_pods_over_the_threshold_go_oldest_first() -> None:
    pods = [
        builders.pod(f"p{n}", phase="Failed", creation_timestamp=f"2023-11-14T22:0{n}:00Z", ready=False)
        for n in range(5)
    ]
    running = builders.pod("running")
    assert [pod.metadata.name for pod in excess([running, *reversed(pods)], 3)] == ["p0", "p1"]
    assert excess(pods, 0) == []


def test_pods_nobody_will_remove_are_garbage() -> None:
    assert is_unscheduled_terminating(builders.pod("p", deleting=True))
    assert not is_unscheduled_terminating(builders.pod("p", deleting=True, node="n"))
    assert is_orphaned(builders.pod("p", node="gone"), {"n"})
    assert not is_orphaned(builders.pod("p"), {"n"})
    dead = builders.node("n", ready="Unknown", taints=(Taint(key="node.kubernetes.io/out-of-service"),))
    assert is_out_of_service(builders.pod("p", node="n", deleting=True), dead)
    assert not is_out_of_service(builders.pod("p", node="n"), dead)


def test_a_pinned_pod_fits_its_node_only() -> None:
    pod = builders.pod("p")
    pod.spec.affinity = pinned(None, "n1")
    assert pinned_to(pod.spec) == "n1"
    assert fits(pod.spec, builders.node("n1"))
    assert not fits(pod.spec, builders.node("n2"))
    pod.spec.node_selector = {"disk": "ssd"}
    assert not fits(pod.spec, builders.node("n1"))
    assert fits(pod.spec, builders.node("n1", labels={"disk": "ssd"}))
