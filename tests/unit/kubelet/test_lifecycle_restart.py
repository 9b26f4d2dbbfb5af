"""Containers that end: restart policies, back-off, probes, lost sandboxes."""

from __future__ import annotations

import pytest

from tests.unit.kubelet.player import Player, container, pod
from tiphys.kubelet.lifecycle import events
from tiphys.kubelet.lifecycle import instructions as do
from tiphys.kubelet.lifecycle.events import ProbeKind
from tiphys.kubelet.lifecycle.state import Stage


@pytest.mark.parametrize(
    ("policy", "code", "restarted", "phase"),
    [
        ("Always", 0, True, "Running"),
        ("Always", 1, True, "Running"),
        ("OnFailure", 0, False, "Succeeded"),
        ("OnFailure", 1, True, "Running"),
        ("Never", 0, False, "Succeeded"),
        ("Never", 1, False, "Failed"),
    ],
)
def test_restart_policy(policy: str, code: int, restarted: bool, phase: str) -> None:
    play = Player(pod({"restartPolicy": policy}))
    play.exit("web", code)
    assert (play.started == ["web", "web"]) is restarted
    assert play.status().phase == phase


def test_a_succeeded_pod_says_so_in_its_conditions() -> None:
    play = Player(pod({"restartPolicy": "Never"}))
    play.exit("web", 0)
    conditions = {c.type: (c.status, c.reason) for c in play.status().conditions}
    assert conditions["Initialized"] == ("True", "PodCompleted")
    assert conditions["Ready"] == ("False", "PodCompleted")
    assert conditions["ContainersReady"] == ("False", "PodCompleted")
    assert conditions["PodReadyToStartContainers"][0] == "False"
    assert play.container("web").state.terminated.reason == "Completed"
    assert play.state.stage is Stage.TERMINATED
    assert play.count(do.CleanUp) == 1
    assert play.count(do.ConfirmDeletion) == 0


def test_crash_loop_backs_off_from_ten_seconds_to_five_minutes() -> None:
    play = Player(pod())
    waits = []
    play.exit("web", 1)  # the first restart is immediate
    assert play.started == ["web"] * 2
    for _ in range(7):
        play.exit("web", 1)
        begun = play.now
        play.advance(play.wake - play.now)
        waits.append(play.now - begun)
    assert waits == [10, 20, 40, 80, 160, 300, 300]
    assert play.container("web").restart_count == 8


def test_ten_good_minutes_forget_the_back_off() -> None:
    play = Player(pod())
    play.exit("web", 1)
    play.exit("web", 1)
    play.advance(10)
    assert len(play.started) == 3
    play.advance(601)
    play.exit("web", 1)
    assert len(play.started) == 4


def test_crash_loop_is_shown_with_the_last_state() -> None:
    play = Player(pod())
    play.exit("web", 1)
    play.exit("web", 137, "OOMKilled")
    shown = play.container("web")
    assert shown.state.waiting.reason == "CrashLoopBackOff"
    assert shown.state.waiting.message == "back-off 10s restarting failed container=web pod=p_ns(u1)"
    assert shown.last_state.terminated.reason == "OOMKilled"
    assert shown.last_state.terminated.exit_code == 137
    assert shown.restart_count == 1
    assert not shown.ready
    assert play.events("BackOff") == ["Back-off restarting failed container web in pod p_ns(u1)"]
    assert play.status().phase == "Running"


def test_one_dead_instance_is_kept_for_its_logs() -> None:
    play = Player(pod())
    for _ in range(3):
        play.exit("web", 1)
        play.advance(max(play.wake - play.now, 0))
    assert [i.id for i in play.of(do.RemoveContainer)] == ["web-0", "web-1"]


def test_a_failed_liveness_probe_restarts_the_container() -> None:
    play = Player(pod({"containers": [container("web", livenessProbe={"exec": {"command": ["x"]}})]}))
    play.probe("web", ProbeKind.LIVENESS, False)
    assert play.stopped == ["web"]
    assert play.events("Killing") == ["Container web failed liveness probe, will be restarted"]
    assert play.started == ["web", "web"]
    assert play.container("web").restart_count == 1


def test_a_probe_may_have_a_grace_of_its_own() -> None:
    probe = {"exec": {"command": ["x"]}, "terminationGracePeriodSeconds": 5}
    play = Player(pod({"containers": [container("web", livenessProbe=probe)]}))
    play.probe("web", ProbeKind.LIVENESS, False)
    assert [i.grace_seconds for i in play.of(do.StopContainer)] == [5]


def test_verdicts_about_an_instance_before_this_one_are_ignored() -> None:
    play = Player(pod({"containers": [container("web", livenessProbe={"exec": {"command": ["x"]}})]}))
    play.tell(events.ProbeChanged("web", "web-other", ProbeKind.LIVENESS, False))
    assert play.stopped == []


def test_a_lost_sandbox_takes_everything_through_the_start_again() -> None:
    play = Player(pod({"initContainers": [container("a")]}))
    play.exit("a", 0)
    play.tell(events.SandboxLost("sb0"))
    assert [i.attempt for i in play.of(do.StartSandbox)] == [0, 1]
    assert play.of(do.StartSandbox)[1].replaces == "sb0"
    assert play.events("SandboxChanged") == ["Pod sandbox changed, it will be killed and re-created."]
    assert play.started == ["a", "web", "a"]
    play.exit("a", 0)
    assert play.started == ["a", "web", "a", "web"]
    assert play.container("a").restart_count == 1


def test_container_restart_rules_override_the_pods_policy() -> None:
    rules = [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]
    spec = {"restartPolicy": "Never", "containers": [container("web", restartPolicy="Never", restartPolicyRules=rules)]}
    play = Player(pod(spec))
    play.exit("web", 42)
    assert play.started == ["web", "web"]
    play = Player(pod(spec))
    play.exit("web", 1)
    assert play.status().phase == "Failed"


def test_a_new_image_replaces_the_running_instance() -> None:
    play = Player(pod({"restartPolicy": "Never"}))
    play.tell(events.PodChanged(pod({"restartPolicy": "Never", "containers": [container("web") | {"image": "new"}]})))
    assert play.events("Killing") == ["Container web definition changed, will be restarted"]
    assert play.started == ["web", "web"]


def test_a_container_the_runtime_lost_counts_as_killed() -> None:
    play = Player(pod({"restartPolicy": "Never"}))
    play.tell(events.ContainerVanished("web-0"))
    ended = play.container("web").state.terminated
    assert (ended.exit_code, ended.reason) == (137, "ContainerStatusUnknown")
