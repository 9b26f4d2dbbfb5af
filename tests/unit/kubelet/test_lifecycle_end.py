"""A pod on its way down."""

from __future__ import annotations

from tests.unit.kubelet.player import START, Player, container, pod
from tiphys.api import codec
from tiphys.api.types.core_v1 import Pod
from tiphys.kubelet.lifecycle import events
from tiphys.kubelet.lifecycle import instructions as do
from tiphys.kubelet.lifecycle.events import Health, ProbeKind, SandboxSighting, Sighting
from tiphys.kubelet.lifecycle.state import Stage


def test_deletion_takes_down_containers_sandbox_and_volumes_and_then_the_object() -> None:
    play = Player(pod())
    mark = len(play.log)
    play.delete(5)
    kinds = [type(i) for i in play.log[mark:] if not isinstance(i, do.PublishStatus | do.Record)]
    assert kinds == [do.StopContainer, do.StopSandbox, do.CleanUp, do.ConfirmDeletion]
    assert play.of(do.StopContainer)[0].grace_seconds == 5
    assert play.events("Killing") == ["Stopping container web"]
    assert play.status().phase == "Failed"  # 143 after SIGTERM
    play.tell(events.PodGone())
    assert play.count(do.Forget) == 1
    assert play.state.stage is Stage.FORGOTTEN


def test_a_grace_of_zero_still_gives_a_second() -> None:
    play = Player(pod())
    play.delete(0)
    assert play.of(do.StopContainer)[0].grace_seconds == 1


def test_a_shorter_grace_overtakes_the_stop_under_way() -> None:
    play = Player(pod())
    play.hold.add(do.StopContainer)
    play.delete(30)
    play.now += 3
    play.delete(2)
    assert [i.grace_seconds for i in play.of(do.StopContainer)] == [30, 2]
    play.release(play.held[0])
    assert play.count(do.ConfirmDeletion) == 1


def test_sidecars_stop_after_the_main_containers_in_reverse_order() -> None:
    sidecars = [container("one", restartPolicy="Always"), container("two", restartPolicy="Always")]
    play = Player(pod({"initContainers": sidecars}))
    play.delete()
    assert play.stopped == ["web", "two", "one"]


def test_a_finished_job_pod_stops_its_sidecars_and_succeeds() -> None:
    spec = {"initContainers": [container("log", restartPolicy="Always")], "restartPolicy": "Never"}
    play = Player(pod(spec))
    play.exit("web", 0)
    assert play.stopped == ["log"]
    assert play.status().phase == "Succeeded"


def test_a_container_serves_until_it_is_gone() -> None:
    play = Player(pod())
    play.hold.add(do.StopContainer)
    play.delete(30)
    assert play.container("web").ready and play.container("web").started
    assert play.condition("Ready") == "True"
    play.release(play.held[0])
    assert play.condition("Ready") == "False"


def test_the_active_deadline_fails_the_pod() -> None:
    play = Player(pod({"activeDeadlineSeconds": 60}))
    play.advance(59)
    assert play.stopped == []
    play.advance(1)
    assert play.stopped == ["web"]
    status = play.status()
    assert (status.phase, status.reason) == ("Failed", "DeadlineExceeded")
    assert status.message == "Pod was active on the node longer than the specified deadline"


def test_eviction_says_why_and_marks_the_disruption() -> None:
    play = Player(pod())
    play.tell(events.Evicted("Evicted", "The node was low on resource: memory.", 0))
    status = play.status()
    assert (status.phase, status.reason) == ("Failed", "Evicted")
    disruption = next(c for c in status.conditions if c.type == "DisruptionTarget")
    assert (disruption.status, disruption.reason) == ("True", "TerminationByKubelet")


def test_deletion_while_the_container_starts_waits_for_the_start() -> None:
    play = Player(pod(), adopt=False)
    play.hold.add(do.StartContainer)
    play.tell(events.Adopted((), ()))
    play.delete()
    assert play.stopped == []
    assert play.count(do.StopSandbox) == 0
    play.release(play.held[0])
    assert play.stopped == ["web"]
    assert play.count(do.ConfirmDeletion) == 1


def test_deletion_before_anything_ran_needs_no_stop() -> None:
    play = Player(pod(), adopt=False)
    play.hold.add(do.PrepareVolumes)
    play.tell(events.Adopted((), ()))
    play.delete()
    assert play.count(do.CleanUp) == 0
    play.release(play.held[0])
    assert play.count(do.StartSandbox) == 0
    assert play.count(do.CleanUp) == 1
    assert play.count(do.ConfirmDeletion) == 1


def test_liveness_is_not_asked_of_a_pod_that_ends_but_readiness_is() -> None:
    probes = {"livenessProbe": {"exec": {"command": ["l"]}}, "readinessProbe": {"exec": {"command": ["r"]}}}
    play = Player(pod({"containers": [container("web", **probes)]}))
    play.probe("web", ProbeKind.READINESS, True)
    play.hold.add(do.StopContainer)
    play.delete()
    assert [i.kinds for i in play.of(do.StopProbes)] == [(ProbeKind.LIVENESS,)]
    play.probe("web", ProbeKind.READINESS, False)
    assert play.condition("Ready") == "False"


def test_a_failed_stop_is_tried_again() -> None:
    play = Player(pod())
    play.hold.add(do.StopContainer)
    play.delete()
    order = play.held[0]
    assert isinstance(order, do.StopContainer)
    play.release(order, events.StopFailed("web", order.id, "busy"))
    play.advance(1)
    play.release(play.held[0])
    assert play.count(do.ConfirmDeletion) == 1


def test_a_failed_clean_up_is_tried_again() -> None:
    play = Player(pod())
    play.hold.add(do.CleanUp)
    play.delete()
    play.release(play.held[0], events.CleanUpFailed("busy"))
    assert play.count(do.ConfirmDeletion) == 0
    play.advance(2)
    play.release(play.held[0])
    assert play.count(do.ConfirmDeletion) == 1


def running(name: str = "web", attempt: int = 2) -> Sighting:
    return Sighting(name, f"{name}-{attempt}", attempt, Health.RUNNING, started_at=START - 100)


def adopted(*containers: Sighting, subject: Pod | None = None) -> Player:
    play = Player(subject or pod(), adopt=False)
    play.tell(events.Adopted((SandboxSighting("sb3", 3, True, ("10.244.0.9",)),), containers))
    return play


def test_a_running_pod_is_taken_over_as_it_is() -> None:
    play = adopted(running())
    assert play.started == []
    assert play.count(do.StartSandbox) == 0
    shown = play.container("web")
    assert shown.restart_count == 2
    assert shown.container_id == "containerd://web-2"
    assert play.status().pod_ip == "10.244.0.9"
    assert play.condition("Ready") == "True"


def test_readiness_is_taken_over_from_the_api() -> None:
    probe = {"exec": {"command": ["x"]}}
    status = {"name": "web", "containerID": "containerd://web-2", "ready": True, "started": True, "restartCount": 2}
    subject = codec.from_dict(
        Pod,
        {
            **codec.to_dict(pod({"containers": [container("web", readinessProbe=probe)]})),
            "status": {"phase": "Running", "containerStatuses": [status]},
        },
    )
    play = adopted(running(), subject=subject)
    assert play.container("web").ready
    assert [i.kind for i in play.of(do.StartProbe)] == [ProbeKind.READINESS]


def test_what_ended_while_no_kubelet_looked_is_restarted_and_counted() -> None:
    exited = Sighting("web", "web-2", 2, Health.EXITED, finished_at=START - 5, exit_code=1)
    play = adopted(exited)
    assert play.started == ["web"]
    assert play.container("web").restart_count == 3


def test_a_pod_that_had_ended_stays_ended() -> None:
    ended = {"terminated": {"exitCode": 0, "reason": "Completed", "containerID": "containerd://web-0"}}
    subject = codec.from_dict(
        Pod,
        {
            **codec.to_dict(pod({"restartPolicy": "Never"})),
            "status": {"phase": "Succeeded", "containerStatuses": [{"name": "web", "state": ended}]},
        },
    )
    play = Player(subject)
    assert play.started == []
    assert play.count(do.StartSandbox) == 0
    assert play.status().phase == "Succeeded"
    assert play.container("web").state.terminated.exit_code == 0
