"""GangScheduling: the pods of a group are considered when enough of them are there, and placed together or not at all.

PreEnqueue is here; placing a gang as a whole is in `tiphys.scheduler.gangs`. A profile without this plugin knows no
gangs: its pods are placed one by one, whatever group they name.
"""

from __future__ import annotations

from tiphys.api.types.core_v1 import Pod
from tiphys.scheduler.framework import Plugin, Trigger


class GangScheduling(Plugin):
    name = "GangScheduling"
    helped_by = Trigger.NODE_ADDED | Trigger.NODE_CHANGED | Trigger.POD_GONE | Trigger.STORAGE_CHANGED

    def pre_enqueue(self, pod: Pod) -> str:
        if self.handle is None:
            return ""
        gate: str = self.handle.gangs.gate(pod)
        return gate
