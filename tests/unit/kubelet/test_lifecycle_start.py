"""A pod on its way up."""

from __future__ import annotations

from tests.unit.kubelet.player import Player, container, pod
from tiphys.kubelet.lifecycle import events
from tiphys.kubelet.lifecycle import instructions as do
from tiphys.kubelet.lifecycle.events import ProbeKind
from tiphys.kubelet.lifecycle.state import Stage


def test_a_plain_pod_becomes_ready_in_order() -> None:
    play = Player(pod())
    kinds = [type(i) for i in play.log if not isinstance(i, do.PublishStatus)]
    assert kinds == [do.PrepareVolumes, do.StartSandbox, do.PullImage, do.StartContainer]
    status = play.status()
    assert status.phase == "Running"
    assert status.pod_ip == "10.244.0.5"
    assert status.host_ip == "10.0.0.1"
    assert play.container("web").ready
    assert {c.type: c.status for c in status.conditions} == {
        "PodReadyToStartContainers": "True",
        "Initialized": "True",
        "Ready": "True",
        "ContainersReady": "True",
        "PodScheduled": "True",
    }


def test_init_containers_run_one_after_the_other_before_the_main_ones() -> None:
    play = Player(pod({"initContainers": [container("a"), container("b")]}))
    assert play.started == ["a"]
    assert play.status().phase == "Pending"
    assert play.container("web").state.waiting.reason == "PodInitializing"
    play.exit("a", 0)
    assert play.started == ["a", "b"]
    play.exit("b", 0)
    assert play.started == ["a", "b", "web"]
    assert play.container("a").ready
    assert play.container("a").state.terminated.reason == "Completed"
    assert play.condition("Initialized") == "True"


def test_conditions_name_what_is_not_done() -> None:
    play = Player(pod({"initContainers": [container("a")]}))
    conditions = {c.type: c for c in play.status().conditions}
    assert conditions["Initialized"].reason == "ContainersNotInitialized"
    assert conditions["Initialized"].message == "containers with incomplete status: [a]"
    assert conditions["Ready"].reason == "ContainersNotReady"
    assert conditions["Ready"].message == "containers with unready status: [web]"


def test_a_failing_init_container_is_restarted_with_back_off() -> None:
    play = Player(pod({"initContainers": [container("a")]}))
    play.exit("a", 1)
    assert play.started == ["a", "a"]
    play.exit("a", 1)
    assert play.started == ["a", "a"]
    assert play.container("a").state.waiting.reason == "CrashLoopBackOff"
    play.advance(10)
    assert play.started == ["a", "a", "a"]


def test_a_failing_init_container_fails_a_pod_that_never_restarts() -> None:
    play = Player(pod({"initContainers": [container("a")], "restartPolicy": "Never"}))
    play.exit("a", 3)
    assert play.status().phase == "Failed"
    assert play.started == ["a"]
    assert play.state.stage is Stage.TERMINATED


def test_a_sidecar_stays_and_lets_the_next_start_once_started() -> None:
    sidecar = container("log", restartPolicy="Always", startupProbe={"exec": {"command": ["x"]}})
    play = Player(pod({"initContainers": [sidecar, container("a")]}))
    assert play.started == ["log"]
    play.probe("log", ProbeKind.STARTUP, True)
    assert play.started == ["log", "a"]
    play.exit("a", 0)
    assert play.started == ["log", "a", "web"]
    play.exit("log", 1)
    assert play.started == ["log", "a", "web", "log"]
    assert not [i for i in play.started[3:] if i == "a"]


def test_the_next_container_waits_for_the_post_start_hook_of_the_one_before() -> None:
    hook = {"postStart": {"exec": {"command": ["x"]}}}
    play = Player(pod({"containers": [container("one", lifecycle=hook), container("two")]}), adopt=False)
    play.hold.add(do.RunPostStart)
    play.tell(events.Adopted((), ()))
    assert play.started == ["one"]
    assert not play.container("one").ready
    play.release(play.held[0])
    assert play.started == ["one", "two"]
    assert play.container("one").ready


def test_a_failed_post_start_hook_kills_the_container() -> None:
    hook = {"postStart": {"exec": {"command": ["x"]}}}
    play = Player(pod({"containers": [container("web", lifecycle=hook)]}), adopt=False)
    play.hold.add(do.RunPostStart)
    play.tell(events.Adopted((), ()))
    order = play.held[0]
    assert isinstance(order, do.RunPostStart)
    play.release(order, events.HookFailed("web", order.id, "PostStartHook failed"))
    assert play.stopped == ["web"]
    assert play.events("FailedPostStartHook") == ["PostStartHook failed"]
    assert play.events("Killing") == ["FailedPostStartHook"]


def test_missing_volumes_are_tried_again_with_growing_delays() -> None:
    play = Player(pod(), adopt=False)
    play.hold.add(do.PrepareVolumes)
    play.tell(events.Adopted((), ()))
    for delay in (0.5, 1.0, 2.0):
        play.release(play.held[0], events.VolumesFailed('configmap "x" not found'))
        assert play.wake == play.now + delay
        play.advance(delay)
    assert play.count(do.PrepareVolumes) == 4
    assert play.count(do.StartSandbox) == 0
    assert play.events("FailedMount")[0] == 'configmap "x" not found'
    play.release(play.held[0])
    assert play.status().phase == "Running"


def test_a_sandbox_that_cannot_be_made_is_tried_again() -> None:
    play = Player(pod(), adopt=False)
    play.hold.add(do.StartSandbox)
    play.tell(events.Adopted((), ()))
    play.release(play.held[0], events.SandboxFailed("no network"))
    assert "no network" in play.events("FailedCreatePodSandBox")[0]
    play.advance(1)
    assert [i.attempt for i in play.of(do.StartSandbox)] == [0, 1]
    assert play.status().phase == "Pending"


def test_err_image_pull_becomes_image_pull_back_off() -> None:
    play = Player(pod(), adopt=False)
    play.hold.add(do.PullImage)
    play.tell(events.Adopted((), ()))
    play.release(play.held[0], events.ImageFailed("web", "ErrImagePull", "no such image"))
    waiting = play.container("web").state.waiting
    assert (waiting.reason, waiting.message) == ("ErrImagePull", "no such image")
    play.advance(5)
    waiting = play.container("web").state.waiting
    assert waiting.reason == "ImagePullBackOff"
    assert waiting.message == 'Back-off pulling image "img": ErrImagePull: no such image'
    assert play.events("BackOff") == ['Back-off pulling image "img"']
    play.advance(5)
    assert play.count(do.PullImage) == 2
    play.release(play.held[0], events.ImageFailed("web", "ErrImagePull", "no such image"))
    play.advance(19)
    assert play.count(do.PullImage) == 2
    play.advance(1)
    assert play.count(do.PullImage) == 3


def test_a_refused_configuration_is_shown_and_tried_again() -> None:
    play = Player(pod(), adopt=False)
    play.hold.add(do.StartContainer)
    play.tell(events.Adopted((), ()))
    text = 'configmap "settings" not found'
    play.release(play.held[0], events.ContainerRefused("web", "CreateContainerConfigError", text))
    waiting = play.container("web").state.waiting
    assert (waiting.reason, waiting.message) == ("CreateContainerConfigError", text)
    play.lifecycle.hurry()
    play.tell(events.Tick())
    play.release(play.held[0])
    assert play.container("web").ready
    assert play.container("web").restart_count == 0


def test_a_refused_pod_is_failed_and_nothing_starts() -> None:
    play = Player(pod(), adopt=False)
    play.tell(events.Refused("OutOfcpu", "Node didn't have enough resource: cpu"))
    status = play.status()
    assert (status.phase, status.reason) == ("Failed", "OutOfcpu")
    assert status.message == "Pod was rejected: Node didn't have enough resource: cpu"
    assert play.count(do.PrepareVolumes) == 0
    play.delete()
    assert play.count(do.ConfirmDeletion) == 1
    play.tell(events.PodGone())
    assert play.count(do.Forget) == 1


def test_readiness_gates_hold_back_ready_only() -> None:
    play = Player(pod({"readinessGates": [{"conditionType": "example.com/up"}]}))
    conditions = {c.type: c for c in play.status().conditions}
    assert conditions["ContainersReady"].status == "True"
    assert conditions["Ready"].reason == "ReadinessGatesNotReady"
    assert "does not exist" in (conditions["Ready"].message or "")


def test_probes_begin_when_their_time_has_come() -> None:
    probes = {
        "startupProbe": {"exec": {"command": ["s"]}},
        "livenessProbe": {"exec": {"command": ["l"]}},
        "readinessProbe": {"exec": {"command": ["r"]}},
    }
    play = Player(pod({"containers": [container("web", **probes)]}))
    assert [i.kind for i in play.of(do.StartProbe)] == [ProbeKind.STARTUP]
    assert play.container("web").started is False
    play.probe("web", ProbeKind.STARTUP, True)
    assert [i.kind for i in play.of(do.StartProbe)][1:] == [ProbeKind.LIVENESS, ProbeKind.READINESS]
    assert play.container("web").started is True
    assert not play.container("web").ready
    play.probe("web", ProbeKind.READINESS, True)
    assert play.condition("Ready") == "True"
    play.probe("web", ProbeKind.READINESS, False)
    assert play.condition("Ready") == "False"


def test_ephemeral_containers_join_a_running_pod_and_never_restart() -> None:
    play = Player(pod())
    changed = pod({"ephemeralContainers": [container("debug")]})
    play.tell(events.PodChanged(changed))
    assert play.started == ["web", "debug"]
    assert play.container("debug").state.running is not None
    play.exit("debug", 1)
    assert play.started == ["web", "debug"]
    assert play.container("debug").state.terminated.exit_code == 1
    assert play.status().phase == "Running"
    assert play.condition("Ready") == "True"
