"""What a failed pod means for its Job. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

from tiphys.api.types.batch_v1 import (
    PodFailurePolicy,
    PodFailurePolicyOnExitCodesRequirement,
    PodFailurePolicyRule,
)
from tiphys.api.types.core_v1 import ContainerStatus, Pod

FAIL_JOB: Final = "FailJob"
FAIL_INDEX: Final = "FailIndex"
IGNORE: Final = "Ignore"
COUNT: Final = "Count"


class Verdict(NamedTuple):
    """The action of the first rule that matches, and for FailJob why; COUNT if none does."""

    action: str
    message: str = ""


def judge(policy: PodFailurePolicy | None, pod: Pod) -> Verdict:
    """The verdict on a pod that failed."""
    for index, rule in enumerate(policy.rules if policy else ()):
        message = _matched(rule, index, pod)
        if message:
            return Verdict(rule.action, message)
    return Verdict(COUNT)


def _matched(rule: PodFailurePolicyRule, index: int, pod: Pod) -> str:
    where = f"{pod.metadata.namespace}/{pod.metadata.name}"
    if rule.on_exit_codes is not None:
        for status in (*pod.status.init_container_statuses, *pod.status.container_statuses):
            code = _matching_exit_code(rule.on_exit_codes, status)
            if code is not None:
                return (
                    f"Container {status.name} for pod {where} failed with exit code {code} "
                    f"matching {rule.action} rule at index {index}"
                )
        return ""
    for pattern in rule.on_pod_conditions:
        for condition in pod.status.conditions:
            if condition.type == pattern.type and condition.status == (pattern.status or "True"):
                return f"Pod {where} has condition {pattern.type} matching {rule.action} rule at index {index}"
    return ""


def _matching_exit_code(requirement: PodFailurePolicyOnExitCodesRequirement, status: ContainerStatus) -> int | None:
    ended = status.state.terminated
    if ended is None or ended.exit_code == 0:
        return None
    if requirement.container_name and requirement.container_name != status.name:
        return None
    within = ended.exit_code in requirement.values
    return ended.exit_code if within == (requirement.operator == "In") else None
