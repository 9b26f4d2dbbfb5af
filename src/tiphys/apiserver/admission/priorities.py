"""Priority: a pod's priority is its class's, and only one class is the default."""

from __future__ import annotations

from typing import Final

from tiphys.api.types.core_v1 import Pod
from tiphys.api.types.scheduling_v1 import PriorityClass
from tiphys.apiserver.admission.chain import CREATE, DELETE, Base, Lookup, refuse
from tiphys.apiserver.registry.context import Write

_PREEMPT: Final = "PreemptLowerPriority"
_SYSTEM_CLASSES: Final = {"system-node-critical": 2000001000, "system-cluster-critical": 2000000000}


class PriorityAdmission(Base):
    """For pods on creation, and for priority classes."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    def concerns(self, group: str, plural: str, operation: str, subresource: str) -> bool:
        if group == "scheduling.k8s.io" and plural == "priorityclasses":
            return operation != DELETE
        return plural == "pods" and not group and operation == CREATE and not subresource

    def admit(self, write: Write) -> None:
        if write.resource.plural != "pods":
            return
        pod: Pod = write.obj
        spec = pod.spec
        value, policy = 0, _PREEMPT
        if spec.priority_class_name:
            found = self._lookup.get(PriorityClass, spec.priority_class_name)
            if found is not None:
                value, policy = found.value or 0, found.preemption_policy or _PREEMPT
            elif spec.priority_class_name in _SYSTEM_CLASSES:
                value = _SYSTEM_CLASSES[spec.priority_class_name]
            else:
                raise refuse(write, f"no PriorityClass with name {spec.priority_class_name} was found")
        elif (default := self._default()) is not None:
            spec.priority_class_name = default.metadata.name
            value, policy = default.value or 0, default.preemption_policy or _PREEMPT
        if spec.priority is not None and spec.priority != value:
            raise refuse(
                write,
                f"the integer value of priority ({spec.priority}) must not be provided in pod spec; priority "
                f"admission controller computed {value} from the given PriorityClass name",
            )
        spec.priority = value
        if spec.preemption_policy is not None and spec.preemption_policy != policy:
            raise refuse(
                write,
                f"the string value of PreemptionPolicy ({spec.preemption_policy}) must not be provided in pod spec; "
                f"priority admission controller computed {policy} from the given PriorityClass name",
            )
        spec.preemption_policy = policy

    def validate(self, write: Write) -> None:
        if write.resource.plural == "pods" or not write.obj.global_default:
            return
        default = self._default()
        if default is not None and default.metadata.name != write.obj.metadata.name:
            name = default.metadata.name
            raise refuse(write, f"PriorityClass {name} is already marked as default. Only one default can exist")

    def _default(self) -> PriorityClass | None:
        classes = [c for c in self._lookup.list(PriorityClass) if c.global_default]
        return min(classes, key=lambda c: c.value or 0, default=None)
