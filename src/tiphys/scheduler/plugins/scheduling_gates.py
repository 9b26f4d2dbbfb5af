"""SchedulingGates: a pod with gates is not considered before the last is taken off."""

from __future__ import annotations

from tiphys.api.types.core_v1 import Pod
from tiphys.scheduler.framework import Plugin


class SchedulingGates(Plugin):
    name = "SchedulingGates"

    def pre_enqueue(self, pod: Pod) -> str:
        if not pod.spec.scheduling_gates:
            return ""
        gates = " ".join(gate.name for gate in pod.spec.scheduling_gates)
        return f"waiting for scheduling gates: [{gates}]"
