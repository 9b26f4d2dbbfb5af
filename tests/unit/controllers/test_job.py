from typing import Any

import msgspec
import pytest

from tiphys.api.types.batch_v1 import (
    Job,
    JobSpec,
    JobStatus,
    PodFailurePolicy,
    PodFailurePolicyOnExitCodesRequirement,
    PodFailurePolicyRule,
    SuccessPolicy,
    SuccessPolicyRule,
    UncountedTerminatedPods,
)
from tiphys.api.types.core_v1 import ContainerState, ContainerStateTerminated, ContainerStatus, Pod
from tiphys.controllers.job import indexes
from tiphys.controllers.job.pods import FINALIZER, made
from tiphys.controllers.job.reconcile import Decision, decide
from tiphys.testing import builders

NOW = 1_700_000_000.0
STARTED = "2023-11-14T22:00:00Z"


def job(*, status: JobStatus | None = None, **spec: Any) -> Job:
    template = builders.template(job="j")
    template.spec.restart_policy = "Never"
    wanted = {"completions": 3, "parallelism": 2, "backoff_limit": 6, "template": template, **spec}
    return Job(metadata=builders.meta("j"), spec=JobSpec(**wanted), status=status or JobStatus(start_time=STARTED))


def a_pod(name: str, phase: str = "Running", *, index: int | None = None, tracked: bool = True, **fields: Any) -> Pod:
    annotations = {} if index is None else {indexes.COMPLETION_INDEX: str(index)}
    return builders.pod(
        name,
        phase=phase,
        finalizers=(FINALIZER,) if tracked else (),
        annotations={**annotations, **fields.pop("annotations", {})},
        uid=name,
        **fields,
    )


def exited(pod: Pod, code: int) -> Pod:
    ended = ContainerState(terminated=ContainerStateTerminated(exit_code=code, finished_at="2023-11-14T22:13:00Z"))
    status = msgspec.structs.replace(pod.status, container_statuses=(ContainerStatus(name="main", state=ended),))
    return msgspec.structs.replace(pod, status=status)


def step(of: Job, *pods: Pod, now: float = NOW, may_act: bool = True) -> Decision:
    return decide(of, pods, may_act=may_act, now=now)


def condition_types(decision: Decision) -> list[str]:
    return [c.type for c in decision.status.conditions if c.status == "True"]


def test_it_starts_as_many_as_may_run_at_once() -> None:
    decision = step(job(status=JobStatus()))
    assert len(decision.create) == 2
    assert decision.status.start_time == "2023-11-14T22:13:20Z"
    assert decision.status.active == 2
    assert all(FINALIZER in pod.metadata.finalizers for pod in decision.create)


def test_it_makes_no_more_than_are_still_needed() -> None:
    status = JobStatus(start_time=STARTED, succeeded=2)
    assert len(step(job(status=status)).create) == 1


def test_nothing_is_made_while_the_informer_lags() -> None:
    assert step(job(), may_act=False).create == ()


def test_a_success_is_noted_before_its_finalizer_goes_and_counted_after() -> None:
    done = a_pod("a", "Succeeded")
    first = step(job(), done)
    assert first.status.uncounted_terminated_pods == UncountedTerminatedPods(succeeded=("a",))
    assert (first.status.succeeded, first.release) == (None, (done,))
    released = a_pod("a", "Succeeded", tracked=False)
    second = step(job(status=first.status), released)
    assert second.status.succeeded == 1
    assert second.status.uncounted_terminated_pods == UncountedTerminatedPods()
    third = step(job(status=second.status), released)
    assert third.status.succeeded == 1


def test_completion_waits_until_every_pod_is_counted() -> None:
    status = JobStatus(start_time=STARTED, succeeded=2)
    first = step(job(status=status), a_pod("c", "Succeeded"))
    assert condition_types(first) == ["SuccessCriteriaMet"]
    second = step(job(status=first.status), a_pod("c", "Succeeded", tracked=False))
    assert condition_types(second) == ["SuccessCriteriaMet", "Complete"]
    assert second.status.completion_time == "2023-11-14T22:13:20Z"
    assert second.events == (("Normal", "Completed", "Job completed"),)


def test_too_many_failures_end_the_job_and_its_pods() -> None:
    running = a_pod("b")
    first = step(job(backoff_limit=0), a_pod("a", "Failed"), running)
    assert condition_types(first) == ["FailureTarget"]
    assert first.delete == (running,)
    second = step(job(backoff_limit=0, status=first.status), a_pod("a", "Failed", tracked=False))
    assert condition_types(second) == ["FailureTarget", "Failed"]
    failed = second.status.conditions[-1]
    assert (failed.reason, failed.message) == (
        "BackoffLimitExceeded",
        "Job has reached the specified backoff limit",
    )
    assert second.events[0][:2] == ("Warning", "BackoffLimitExceeded")


def test_a_failed_pod_is_replaced_after_a_pause_that_grows() -> None:
    one = exited(a_pod("a", "Failed", tracked=False), 1)
    first = step(job(parallelism=1), one, now=NOW - 15)
    assert first.create == ()
    assert first.look_again_seconds == pytest.approx(5.0)
    assert len(step(job(parallelism=1), one, now=NOW - 10).create) == 1
    two = exited(a_pod("b", "Failed", tracked=False), 1)
    assert step(job(parallelism=1), one, two, now=NOW - 10).look_again_seconds == pytest.approx(10.0)


def test_the_deadline_ends_it() -> None:
    decision = step(job(active_deadline_seconds=60), a_pod("a"))
    assert decision.status.conditions[0].reason == "DeadlineExceeded"
    waiting = step(job(active_deadline_seconds=900), a_pod("a"), a_pod("b"))
    assert waiting.look_again_seconds == pytest.approx(100.0)


def test_suspending_deletes_the_pods_and_resuming_starts_the_clock_anew() -> None:
    running = a_pod("a")
    suspended = step(job(suspend=True), running)
    assert suspended.delete == (running,)
    assert (suspended.status.start_time, condition_types(suspended)) == (None, ["Suspended"])
    assert suspended.events == (("Normal", "Suspended", "Job suspended"),)
    resumed = step(job(status=suspended.status))
    assert resumed.status.start_time == "2023-11-14T22:13:20Z"
    assert resumed.status.conditions[0].reason == "JobResumed"


def test_indexed_pods_have_an_index_in_name_label_annotation_and_environment() -> None:
    pod = made(job(completion_mode="Indexed"), 2, 0, 0)
    assert pod.metadata.generate_name == "j-2-"
    assert pod.metadata.annotations[indexes.COMPLETION_INDEX] == "2"
    assert pod.metadata.labels[indexes.COMPLETION_INDEX] == "2"
    assert pod.spec.hostname == "j-2"
    (variable,) = pod.spec.containers[0].env
    assert variable.name == "JOB_COMPLETION_INDEX"


def test_indexes_that_succeeded_are_not_run_again() -> None:
    of = job(completion_mode="Indexed", status=JobStatus(start_time=STARTED, completed_indexes="1", succeeded=1))
    created = step(of, a_pod("a", index=0)).create
    assert [indexes.index_of(pod) for pod in created] == [2]


def test_indexed_completions_are_kept_as_ranges() -> None:
    of = job(completion_mode="Indexed", completions=6)
    done = [a_pod(f"p{n}", "Succeeded", index=n) for n in (0, 1, 2, 4)]
    status = step(of, *done).status
    assert (status.completed_indexes, status.succeeded) == ("0-2,4", 4)


@pytest.mark.parametrize(
    ("text", "found"), [("", set()), ("1,3-5", {1, 3, 4, 5}), ("0-99", set(range(10))), ("x,2", {2})]
)
def test_index_text_is_read(text: str, found: set[int]) -> None:
    assert indexes.parse(text, 10) == found


def test_index_text_is_written() -> None:
    assert indexes.render({7, 1, 3, 4, 5, 9, 10}) == "1,3-5,7,9,10"


def policy(action: str, *codes: int) -> PodFailurePolicy:
    rule = PodFailurePolicyOnExitCodesRequirement(operator="In", values=codes)
    return PodFailurePolicy(rules=(PodFailurePolicyRule(action=action, on_exit_codes=rule),))


def test_a_failure_policy_may_end_the_job() -> None:
    decision = step(job(pod_failure_policy=policy("FailJob", 42)), exited(a_pod("a", "Failed"), 42))
    (target,) = decision.status.conditions
    assert target.type == "FailureTarget"
    assert target.reason == "PodFailurePolicy"
    assert (
        target.message == "Container main for pod default/a failed with exit code 42 matching FailJob rule at index 0"
    )


def test_a_failure_policy_may_ignore_a_failure() -> None:
    failed = exited(a_pod("a", "Failed"), 42)
    decision = step(job(backoff_limit=0, pod_failure_policy=policy("Ignore", 42)), failed)
    assert condition_types(decision) == []
    assert decision.status.uncounted_terminated_pods == UncountedTerminatedPods()
    assert decision.release == (failed,)


def test_an_index_that_fails_too_often_is_given_up_alone() -> None:
    of = job(completion_mode="Indexed", completions=2, backoff_limit_per_index=0, backoff_limit=100)
    decision = step(of, exited(a_pod("a", "Failed", index=0), 1))
    assert decision.status.failed_indexes == "0"
    assert [indexes.index_of(pod) for pod in decision.create] == [1]


def test_a_success_policy_ends_the_job_early() -> None:
    rule = SuccessPolicy(rules=(SuccessPolicyRule(succeeded_indexes="0"),))
    of = job(completion_mode="Indexed", completions=5, success_policy=rule)
    decision = step(of, a_pod("leader", "Succeeded", index=0), a_pod("worker", index=1))
    (met,) = decision.status.conditions
    assert (met.type, met.reason, met.message) == ("SuccessCriteriaMet", "SuccessPolicy", "Matched rules at index 0")
    assert [pod.metadata.name for pod in decision.delete] == ["worker"]


def test_a_work_queue_is_done_when_one_succeeded_and_none_runs() -> None:
    of = job(completions=None, status=JobStatus(start_time=STARTED, succeeded=1))
    assert condition_types(step(of)) == ["SuccessCriteriaMet", "Complete"]
    assert condition_types(step(of, a_pod("b"))) == []
