"""Resizing running pods."""

from __future__ import annotations

from typing import Any

from tests.unit.kubelet.player import Player, container, pod
from tests.unit.kubelet.test_node import node, wants
from tiphys.api.types.core_v1 import Pod
from tiphys.kubelet.lifecycle import events
from tiphys.kubelet.lifecycle import instructions as do
from tiphys.kubelet.pods.admission import resize_refusal
from tiphys.kubelet.pods.resources import resources_differ, with_resources_of
from tiphys.kubelet.pods.status_patch import status_patch


def sized(cpu: str, **more: Any) -> Pod:
    return pod({"containers": [container("web", resources={"requests": {"cpu": cpu}}, **more)]}, generation=2)


class Resizing(Player):
    """Holds resizes for the test to answer."""

    def __init__(self, subject: Pod) -> None:
        super().__init__(subject)
        self.hold = {do.ResizeContainer}

    def conditions(self) -> dict[str, tuple[str, str | None]]:
        return {c.type: (c.status, c.reason) for c in self.status().conditions}


def test_a_running_container_is_resized_without_a_restart() -> None:
    play = Resizing(sized("1"))
    play.tell(events.PodChanged(sized("2")))
    assert play.conditions()["PodResizeInProgress"] == ("True", None)
    assert play.container("web").resources.requests == {"cpu": "1"}
    assert play.container("web").allocated_resources == {"cpu": "2"}
    play.release(play.held[0], events.ContainerResized("web", "web-0"))
    assert play.container("web").resources.requests == {"cpu": "2"}
    assert "PodResizeInProgress" not in play.conditions()
    assert play.started == ["web"]
    assert play.events("ResizeCompleted")[0].startswith('Pod resize completed: {"containers":[{"name":"web"')


def test_a_policy_may_ask_for_a_restart() -> None:
    policy = [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]
    play = Resizing(sized("1", resizePolicy=policy))
    play.tell(events.PodChanged(sized("2", resizePolicy=policy)))
    assert play.held == []
    assert play.events("Killing") == ["Container web resize requires restart"]
    assert play.started == ["web", "web"]
    assert play.container("web").resources.requests == {"cpu": "2"}


def test_a_failed_resize_is_told_and_not_repeated_until_another_is_asked() -> None:
    play = Resizing(sized("1"))
    play.tell(events.PodChanged(sized("2")))
    play.release(play.held[0], events.ResizeFailed("web", "web-0", "busy"))
    assert play.conditions()["PodResizeInProgress"] == ("True", "Error")
    play.tell(events.PodChanged(sized("2")))
    assert play.held == []
    play.tell(events.PodChanged(sized("3")))
    assert len(play.held) == 1
    play.delete(1)
    assert play.stopped == ["web"]


def test_what_cannot_be_given_is_pending() -> None:
    play = Resizing(sized("1"))
    play.tell(events.ResizePending("Deferred", "Node didn't have enough resource: cpu"))
    assert play.conditions()["PodResizePending"] == ("True", "Deferred")
    play.tell(events.ResizePending(""))
    assert "PodResizePending" not in play.conditions()


def test_a_condition_that_has_passed_is_taken_away() -> None:
    old = {"conditions": [{"type": "PodResizePending", "status": "True"}, {"type": "theirs", "status": "True"}]}
    assert status_patch(old, {"conditions": []}) == {"conditions": [{"type": "PodResizePending", "$patch": "delete"}]}


def test_a_node_decides_by_its_room() -> None:
    assert resize_refusal(wants(cpu="3"), [wants("o", cpu="500m")], node()) is None
    deferred = resize_refusal(wants(cpu="3"), [wants("o", cpu="1")], node())
    assert deferred is not None
    assert (deferred.reason, deferred.message) == ("Deferred", "Node didn't have enough resource: cpu")
    infeasible = resize_refusal(wants(cpu="4"), [], node())
    assert infeasible is not None
    assert infeasible.message == "Node didn't have enough capacity: cpu, requested: 4000, capacity: 3500"


def test_resources_alone_are_kept_back() -> None:
    old, new = wants(cpu="1"), wants(cpu="2")
    new.metadata.labels["a"] = "b"
    kept = with_resources_of(new, old)
    assert not resources_differ(kept, old)
    assert kept.metadata.labels == {"a": "b"}
