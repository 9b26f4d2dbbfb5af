"""Whatever happens to a pod, in whatever order, its lifecycle keeps its promises and comes to an end."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.kubelet.player import Player, container, pod
from tiphys.kubelet.lifecycle import events
from tiphys.kubelet.lifecycle import instructions as do
from tiphys.kubelet.lifecycle.events import Health, ProbeKind
from tiphys.kubelet.lifecycle.state import SandboxStep, Stage, Step

ANSWERED = {
    do.PrepareVolumes,
    do.StartSandbox,
    do.StopSandbox,
    do.PullImage,
    do.StartContainer,
    do.RunPostStart,
    do.StopContainer,
    do.CleanUp,
}
PROBE = {"exec": {"command": ["x"]}}
HOOK = {"postStart": PROBE}
SHAPES: list[dict[str, Any]] = [
    {},
    {"initContainers": [container("i"), container("s", restartPolicy="Always", startupProbe=PROBE)]},
    {"containers": [container("a", lifecycle=HOOK), container("b", livenessProbe=PROBE, readinessProbe=PROBE)]},
    {"initContainers": [container("i")], "activeDeadlineSeconds": 50},
]


def subject_of(instruction: do.Instruction) -> tuple[type, str, str]:
    """What is asked for whom. A hook is an instance's: the last one's may still hang when the next one's begins."""
    id = instruction.id if isinstance(instruction, do.RunPostStart) else ""
    return type(instruction), getattr(instruction, "name", ""), id


class Checked(Player):
    """A player that holds every instruction and checks what is asked against what is under way."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.under_way: Counter[tuple[type, str, str]] = Counter()
        self.seen = 0
        super().__init__(pod(spec), adopt=False)
        self.hold = set(ANSWERED)
        self.tell(events.Adopted((), ()))

    def tell(self, event: events.Event) -> None:
        super().tell(event)
        for instruction in self.log[self.seen :]:
            self.check(instruction)
        self.seen = len(self.log)
        status = self.status()
        assert status.phase in ("Pending", "Running", "Succeeded", "Failed")
        if self.state.stage in (Stage.SETTING_UP, Stage.ACTIVE):
            assert status.phase in ("Pending", "Running")

    def check(self, instruction: do.Instruction) -> None:
        state = self.state
        key = subject_of(instruction)
        if type(instruction) in ANSWERED:
            self.under_way[key] += 1
            if not isinstance(instruction, do.StopContainer):  # a shorter grace overtakes a stop
                assert self.under_way[key] == 1, f"{instruction} asked while one is under way"
        if isinstance(instruction, do.StartContainer):
            assert state.sandbox is not None
            assert instruction.sandbox_id == state.sandbox.id
            assert not self.of(do.Forget)
        if isinstance(instruction, do.CleanUp | do.StopSandbox):
            assert not any(c.alive for c in state.containers.values())
        if isinstance(instruction, do.ConfirmDeletion):
            assert self.count(do.ConfirmDeletion) == 1
            assert state.sandbox_step in (SandboxStep.NONE, SandboxStep.STOPPED)

    def finish(self, instruction: do.Instruction, *, well: bool) -> None:
        self.under_way[subject_of(instruction)] -= 1
        self.release(instruction, None if well else self.failure(instruction))

    def failure(self, instruction: do.Instruction) -> events.Event | None:
        match instruction:
            case do.PrepareVolumes():
                return events.VolumesFailed("x")
            case do.StartSandbox():
                return events.SandboxFailed("x")
            case do.PullImage(name=name):
                return events.ImageFailed(name, "ErrImagePull", "x")
            case do.StartContainer(name=name):
                return events.ContainerRefused(name, "CreateContainerError", "x")
            case do.RunPostStart(name=name, id=id):
                return events.HookFailed(name, id, "x")
            case do.StopContainer(name=name, id=id):
                return events.StopFailed(name, id, "x")
            case do.CleanUp():
                return events.CleanUpFailed("x")
        return None

    def happen(self, number: int, what: str) -> None:
        running = [c for c in self.state.containers.values() if c.step is Step.RUNNING]
        if what in ("well", "badly") and self.held:
            self.finish(self.held[number % len(self.held)], well=what == "well")
        elif what == "exit" and running:
            chosen = running[number % len(running)]
            self.tell(events.ContainerSeen(self.sighting(chosen.name, Health.EXITED, code=number % 3)))
        elif what == "probe" and running:
            chosen = running[number % len(running)]
            kind = list(ProbeKind)[number % 3]
            if kind.value in chosen.probing:
                self.probe(chosen.name, kind, number % 2 == 0)
        elif what == "sandbox" and self.state.sandbox is not None:
            self.tell(events.SandboxLost(self.state.sandbox.id))
        elif what == "time":
            self.advance(float(number))
        elif what == "delete":
            self.delete(number)
        elif what == "gone":
            self.tell(events.PodGone())


HAPPENINGS = st.lists(
    st.tuples(
        st.integers(0, 60),
        st.sampled_from(
            ["well"] * 6 + ["badly"] * 2 + ["exit", "exit", "probe", "sandbox", "time", "time", "delete", "gone"]
        ),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SHAPES), st.sampled_from(["Always", "OnFailure", "Never"]), HAPPENINGS)
def test_every_life_keeps_its_promises_and_ends(
    shape: dict[str, Any], policy: str, happenings: list[tuple[int, str]]
) -> None:
    play = Checked({**shape, "restartPolicy": policy})
    for number, what in happenings:
        play.happen(number, what)
    play.delete(1)
    for _ in range(200):
        if play.held:
            play.finish(play.held[0], well=True)
        elif play.count(do.ConfirmDeletion) and not play.state.gone:
            play.tell(events.PodGone())
        elif play.state.stage is Stage.FORGOTTEN:
            break
        else:
            play.advance(5)
    assert play.state.stage is Stage.FORGOTTEN, f"stuck: {play.state.stage}, {play.state.containers}"
    assert play.count(do.Forget) == 1
    assert not any(c.alive for c in play.state.containers.values())
