"""Jobs: completions, failures that count and those that do not, indexes, success by policy."""

from __future__ import annotations

from tests.conformance.apps.workloads import Apps, Object, condition, job, owner
from tests.e2e.cluster import eventually

INDEX = "batch.kubernetes.io/job-completion-index"


def _ended(apps: Apps, name: str, kind: str = "Complete") -> Object:
    """Wait for the Job's end."""
    return apps.until("job", name, lambda found: condition(found, kind) == "True", f"is {kind}")


def _indexed(name: str, script: str, count: int, **spec: object) -> Object:
    return job(name, script, completionMode="Indexed", completions=count, parallelism=count, **spec)


def test_a_job_completes_though_tasks_fail_and_restart(apps: Apps) -> None:
    """[sig-apps] Job should run a job to completion when tasks sometimes fail and are locally restarted
    [Conformance]
    """
    volumes = [{"name": "data", "emptyDir": {}}]
    failing = job("flaky", "test -f /data/seen || { touch /data/seen; exit 1; }", completions=2, parallelism=2)
    inner = failing["spec"]["template"]["spec"]
    inner |= {"restartPolicy": "OnFailure", "volumes": volumes}
    inner["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    apps.make(failing)
    assert _ended(apps, "flaky")["status"]["succeeded"] == 2
    assert all(pod["status"]["containerStatuses"][0]["restartCount"] == 1 for pod in apps.pods("flaky"))


def test_indexes(apps: Apps) -> None:
    """[sig-apps] Job should create pods for an Indexed job with completion indexes and specified hostname
    [Conformance]
    """
    apps.make(_indexed("parts", 'test "$(hostname)" = "parts-$JOB_COMPLETION_INDEX"', 3))
    assert _ended(apps, "parts")["status"]["completedIndexes"] == "0-2"
    assert {pod["metadata"]["annotations"][INDEX] for pod in apps.pods("parts")} == {"0", "1", "2"}
    assert {pod["spec"]["hostname"] for pod in apps.pods("parts")} == {"parts-0", "parts-1", "parts-2"}


def test_deletion(apps: Apps) -> None:
    """[sig-apps] Job should delete a job [Conformance]"""
    apps.make(job("long", "sleep 1000", completions=2, parallelism=2))
    apps.until("job", "long", lambda found: found["status"].get("active") == 2, "both are active")
    apps.delete("job", "long")
    eventually(lambda: not apps.list("jobs") and not apps.list("pods"), "it is gone, its pods too", 30)


def test_adoption(apps: Apps) -> None:
    """[sig-apps] Job should adopt matching orphans and release non-matching pods [Conformance]"""
    apps.make(job("parent", "sleep 1000", completions=2, parallelism=2))
    name = apps.ready_count("parent", 2)[0]["metadata"]["name"]
    apps.patch("pod", name, {"metadata": {"ownerReferences": None}})
    eventually(lambda: owner(apps.get("pod", name)) == "parent", "the orphan is adopted again", 20)
    apps.patch("pod", name, {"metadata": {"labels": None}})
    eventually(lambda: not owner(apps.get("pod", name)), "what no longer matches is released", 20)


def test_a_failure_policy_ends_a_job_early(apps: Apps) -> None:
    """[sig-apps] Job should allow to use the pod failure policy on exit code to fail the job early [Conformance]"""
    policy = {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}]}
    apps.make(job("strict", "exit 42", backoffLimit=6, podFailurePolicy=policy))
    ended = _ended(apps, "strict", "Failed")
    assert condition(ended, "Failed", "reason") == "PodFailurePolicy" and ended["status"]["failed"] == 1


def test_a_failure_policy_ignores_disruptions(apps: Apps) -> None:
    """[sig-apps] Job should allow to use a pod failure policy to ignore failure matching on DisruptionTarget condition
    [Conformance]
    """
    policy = {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]}
    apps.make(job("disrupted", "sleep 1000", backoffLimit=0, podFailurePolicy=policy))
    (pod,) = apps.ready_count("disrupted", 1)
    name = pod["metadata"]["name"]
    path = f"/api/v1/namespaces/{apps.namespace}/pods/{name}/eviction"
    eviction = f'{{"apiVersion":"policy/v1","kind":"Eviction","metadata":{{"name":"{name}"}}}}'
    apps.cluster.kubectl("create", "--raw", path, "-f", "-", stdin=eviction)
    eventually(lambda: [p["metadata"]["name"] for p in apps.ready("disrupted")] not in ([], [name]), "another runs", 30)
    status = apps.get("job", "disrupted")["status"]
    assert not status.get("failed") and status["active"] == 1


def test_backoff_limit_of_each_index(apps: Apps) -> None:
    """[sig-apps] Job should execute all indexes despite some failing when using backoffLimitPerIndex [Conformance]"""
    apps.make(_indexed("odd", "exit $((JOB_COMPLETION_INDEX % 2))", 4, backoffLimitPerIndex=0))
    status = _ended(apps, "odd", "Failed")["status"]
    assert (status["failedIndexes"], status["completedIndexes"]) == ("1,3", "0,2")
    assert (status["failed"], status["succeeded"]) == (2, 2)


def test_fail_index(apps: Apps) -> None:
    """[sig-apps] Job should mark indexes as failed when the FailIndex action is matched in podFailurePolicy
    [Conformance]
    """
    policy = {"rules": [{"action": "FailIndex", "onExitCodes": {"operator": "NotIn", "values": [0]}}]}
    script = "exit $((JOB_COMPLETION_INDEX == 0 ? 3 : 0))"
    apps.make(_indexed("first", script, 2, backoffLimitPerIndex=5, podFailurePolicy=policy))
    status = _ended(apps, "first", "Failed")["status"]
    assert (status["failedIndexes"], status["completedIndexes"], status["failed"]) == ("0", "1", 1)


def test_too_many_failed_indexes(apps: Apps) -> None:
    """[sig-apps] Job should terminate job execution when the number of failed indexes exceeds maxFailedIndexes
    [Conformance]
    """
    script = 'test "$JOB_COMPLETION_INDEX" = 0 && exec sleep 1000; exit 1'
    apps.make(_indexed("limited", script, 4, backoffLimitPerIndex=0, maxFailedIndexes=1))
    ended = _ended(apps, "limited", "Failed")
    assert condition(ended, "Failed", "reason") == "MaxFailedIndexesExceeded"
    eventually(lambda: not apps.ready("limited"), "what ran is ended", 20)


def test_success_policies(apps: Apps) -> None:
    """[sig-apps] Job with successPolicy should succeeded when all indexes succeeded [Conformance]
    [sig-apps] Job with successPolicy succeededIndexes rule should succeeded even when some indexes remain pending
        [Conformance]
    [sig-apps] Job with successPolicy succeededCount rule should succeeded even when some indexes remain pending
        [Conformance]
    """
    leader = 'test "$JOB_COMPLETION_INDEX" = 0 || exec sleep 1000'
    made = {
        "all": ("exit 0", {"succeededCount": 2}, "0,1"),
        "indexes": (leader, {"succeededIndexes": "0"}, "0"),
        "count": (leader, {"succeededCount": 1}, "0"),
    }
    for name, (script, rule, _) in made.items():
        apps.make(_indexed(name, script, 2, successPolicy={"rules": [rule]}))
    for name, (_, _, done) in made.items():
        ended = _ended(apps, name)
        assert condition(ended, "SuccessCriteriaMet", "reason") == "SuccessPolicy"
        assert condition(ended, "Complete", "reason") == "SuccessPolicy"
        assert ended["status"]["completedIndexes"] == done and not ended["status"].get("active")


def test_status_and_life(apps: Apps) -> None:
    """[sig-apps] Job should apply changes to a job status [Conformance]
    [sig-apps] Job should manage the lifecycle of a job [Conformance]
    """
    apps.make(job("life", "sleep 1000", suspend=True))
    apps.until("job", "life", lambda found: condition(found, "Suspended") == "True", "is suspended")
    apps.patch("job", "life", {"metadata": {"labels": {"life": "patched"}}})
    read = apps.get("job", "life")
    read["metadata"]["annotations"] = {"updated": "true"}
    assert apps.replace("jobs/life", read)["metadata"]["annotations"]["updated"] == "true"
    start = "2030-01-01T00:00:00Z"
    patch = {"metadata": {"annotations": {"patched-status": "true"}}, "status": {"conditions": [
        {"type": "Custom", "status": "True", "lastTransitionTime": start}]}}  # fmt: skip
    told = apps.patch("job", "life", patch, "--subresource=status")
    assert condition(told, "Custom") == "True" and told["metadata"]["annotations"]["patched-status"] == "true"
    assert apps.raw("jobs/life/status")["metadata"]["name"] == "life"
    apps.patch("job", "life", {"spec": {"suspend": False}})
    apps.ready_count("life", 1)
    everywhere = apps.cluster.get("jobs", "-A", "-l", "life=patched")["items"]
    assert [found["metadata"]["name"] for found in everywhere] == ["life"]
    apps.delete("jobs", "-l", "life=patched")
    eventually(lambda: not apps.list("jobs"), "gone", 20)
