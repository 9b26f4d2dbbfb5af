"""eviction: a deletion that disruption budgets may put off."""

from __future__ import annotations

import msgspec

from tiphys.api import codec, errors
from tiphys.api.selectors import from_label_selector
from tiphys.api.types.core_v1 import Pod, PodCondition
from tiphys.api.types.meta_v1 import DeleteOptions, Preconditions, Status, StatusCause
from tiphys.api.types.policy_v1 import Eviction, PodDisruptionBudget
from tiphys.apiserver.admission.chain import Lookup
from tiphys.apiserver.registry.context import Context
from tiphys.apiserver.registry.endpoint import Endpoint
from tiphys.apiserver.registry.options import WriteOptions
from tiphys.apiserver.registry.updating import Changed, Stored
from tiphys.apiserver.routing import RequestInfo
from tiphys.apiserver.subresources.posting import success
from tiphys.base.http.messages import Request

_RETRY_SECONDS = 10
_VIOLATES = "Cannot evict pod as it would violate the pod's disruption budget."
_SEVERAL = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."


class Evictor:
    """Deletes pods as far as their budgets allow."""

    def __init__(self, pods: Endpoint, budgets: Endpoint, lookup: Lookup, context: Context) -> None:
        self._pods = pods
        self._budgets = budgets
        self._lookup = lookup
        self._context = context

    async def evict(self, eviction: Eviction, request: Request, info: RequestInfo, options: WriteOptions) -> Status:
        """Evict the pod the path names. Raises ApiError 429 while a budget forbids it."""
        if eviction.metadata.name and eviction.metadata.name != info.name:
            raise errors.bad_request("name in URL does not match name in Eviction object")
        target = RequestInfo(
            info.path, "delete", "", "v1", "pods", info.namespace, info.name, target=self._pods.resource
        )
        stored = self._pods.updater.read(target)
        wanted = eviction.delete_options or DeleteOptions()
        if options.dry_run:
            wanted = msgspec.structs.replace(wanted, dry_run=("All",))
        pod: Pod = stored.obj
        if not _goes_anyway(pod):
            await self._ask_budgets(pod, request, info, options)
            if wanted.preconditions is None:
                wanted = msgspec.structs.replace(wanted, preconditions=Preconditions(uid=pod.metadata.uid))
        await self._mark(request, info, options)
        await self._pods.deleter.delete_object(target, wanted, request.user, [])
        return success()

    async def _mark(self, request: Request, info: RequestInfo, options: WriteOptions) -> None:
        """Say on the pod that it was disrupted: a Job's failure policy may not count its end as a failure."""
        status_info = RequestInfo(
            info.path, "update", "", "v1", "pods", info.namespace, info.name, "status", target=self._pods.resource
        )

        def change(stored: Stored) -> Changed:
            pod = codec.decode(Pod, stored.value)
            others = tuple(one for one in pod.status.conditions if one.type != "DisruptionTarget")
            pod.status.conditions = (*others, _disrupted(self._context.times.now()))
            return Changed(pod)

        await self._pods.updater.change(status_info, change, options, request.user, [])

    async def _ask_budgets(self, pod: Pod, request: Request, info: RequestInfo, options: WriteOptions) -> None:
        """Take one disruption from the pod's budget, if it has one."""
        labels = pod.metadata.labels
        budgets = [
            budget
            for budget in self._lookup.list(PodDisruptionBudget, info.namespace)
            if from_label_selector(budget.spec.selector).matches(labels)
        ]
        if not budgets:
            return
        if len(budgets) > 1:
            raise errors.unclassified(_SEVERAL)
        name = budgets[0].metadata.name or ""
        budget_info = RequestInfo(
            info.path, "update", "policy", "v1", "poddisruptionbudgets", info.namespace, name, "status",
            target=self._budgets.resource,
        )  # fmt: skip

        def change(stored: Stored) -> Changed:
            budget = codec.decode(PodDisruptionBudget, stored.value)
            if not _may_ignore(pod, budget):
                _take(budget, pod.metadata.name or "", self._context.times.now())
            return Changed(budget)

        await self._budgets.updater.change(budget_info, change, options, request.user, [])


def _disrupted(now: str) -> PodCondition:
    return PodCondition(
        type="DisruptionTarget",
        status="True",
        reason="EvictionByEvictionAPI",
        message="Eviction API: evicting",
        last_transition_time=now,
    )


def _goes_anyway(pod: Pod) -> bool:
    """Pods that ended, never started or are leaving already disturb nobody."""
    phase = pod.status.phase
    return phase in ("Succeeded", "Failed", "Pending") or pod.metadata.deletion_timestamp is not None


def _may_ignore(pod: Pod, budget: PodDisruptionBudget) -> bool:
    """A pod that is not ready may go if its budget says so, or is met without it."""
    if any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions):
        return False
    status = budget.status
    met = (status.current_healthy or 0) >= (status.desired_healthy or 0) > 0
    return budget.spec.unhealthy_pod_eviction_policy == "AlwaysAllow" or met


def _take(budget: PodDisruptionBudget, pod_name: str, now: str) -> None:
    status, name = budget.status, budget.metadata.name
    if (status.observed_generation or 0) < (budget.metadata.generation or 0):
        cause = StatusCause(
            reason="DisruptionBudget", message=f"The disruption budget {name} is still being processed by the server."
        )
        raise errors.too_many_requests(_VIOLATES, _RETRY_SECONDS, (cause,))
    allowed = status.disruptions_allowed or 0
    if allowed <= 0:
        text = (
            f"The disruption budget {name} needs {status.desired_healthy} healthy pods and has "
            f"{status.current_healthy} currently"
        )
        raise errors.too_many_requests(_VIOLATES, 0, (StatusCause(reason="DisruptionBudget", message=text),))
    status.disruptions_allowed = allowed - 1
    status.disrupted_pods = {**status.disrupted_pods, pod_name: now}
