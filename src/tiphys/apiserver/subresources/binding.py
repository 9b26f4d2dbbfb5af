"""binding: a pod is given to a node, once."""

from __future__ import annotations

from typing import Any

import msgspec

from tiphys.api import codec, errors, field_errors
from tiphys.api.types.core_v1 import Binding, Pod, PodCondition
from tiphys.api.types.meta_v1 import Status
from tiphys.apiserver.registry.context import Context
from tiphys.apiserver.registry.endpoint import Endpoint
from tiphys.apiserver.registry.options import WriteOptions
from tiphys.apiserver.registry.updating import Changed, Stored
from tiphys.apiserver.routing import RequestInfo
from tiphys.apiserver.subresources.posting import success
from tiphys.base.http.messages import Request

_RESOURCE = "pods/binding"


class Binder:
    """Assigns pods to nodes."""

    def __init__(self, pods: Endpoint, context: Context) -> None:
        self._pods = pods
        self._context = context

    async def bind(self, binding: Binding, request: Request, info: RequestInfo, options: WriteOptions) -> Status:
        """Bind the pod the path (or, for ``bindings``, the body) names. Raises ApiError."""
        name = info.name or binding.metadata.name or ""
        if binding.metadata.name and binding.metadata.name != name:
            raise errors.bad_request("name in URL does not match name in Binding object")
        _check_target(binding)
        target = RequestInfo(
            info.path, "create", "", "v1", "pods", info.namespace, name, "binding", target=self._pods.resource
        )

        def change(stored: Stored) -> Changed:
            return Changed(self._bound(stored.obj, codec.decode(Pod, stored.value), binding), raw=True)

        await self._pods.updater.change(target, change, options, request.user, [])
        return success()

    def _bound(self, old: Any, pod: Pod, binding: Binding) -> Pod:
        name, wanted = pod.metadata.name or "", binding.metadata
        if wanted.uid and wanted.uid != pod.metadata.uid:
            text = f"Precondition failed: UID in precondition: {wanted.uid}, UID in object meta: {pod.metadata.uid}"
            raise errors.conflict(_RESOURCE, name, text)
        if pod.metadata.deletion_timestamp is not None:
            raise errors.conflict(_RESOURCE, name, f"pod {name} is being deleted, cannot be assigned to a host")
        if pod.spec.node_name:
            text = f"pod {name} is already assigned to node {field_errors.quote(pod.spec.node_name)}"
            raise errors.conflict(_RESOURCE, name, text)
        if pod.spec.scheduling_gates:
            raise errors.conflict(_RESOURCE, name, f"pod {name} has non-empty .spec.schedulingGates")
        pod.spec.node_name = binding.target.name
        pod.metadata.annotations = {**pod.metadata.annotations, **wanted.annotations}
        pod.metadata.labels = {**pod.metadata.labels, **wanted.labels}
        scheduled = PodCondition(
            type="PodScheduled", status="True", last_transition_time=self._context.times.now(),
            observed_generation=pod.metadata.generation,
        )  # fmt: skip
        others = tuple(c for c in pod.status.conditions if c.type != "PodScheduled")
        pod.status = msgspec.structs.replace(pod.status, conditions=(*others, scheduled))
        return pod


def _check_target(binding: Binding) -> None:
    target = binding.target
    wrong = []
    if target.kind and target.kind != "Node":
        wrong.append(field_errors.not_supported("target.kind", target.kind, ("Node", "<empty>")))
    if not target.name:
        wrong.append(field_errors.required("target.name"))
    if wrong:
        raise errors.unclassified(field_errors.aggregate(wrong))
