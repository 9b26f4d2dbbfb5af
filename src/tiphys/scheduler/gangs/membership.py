"""Who belongs to which gang, and whether there are enough of them to try. Pure."""

from __future__ import annotations

from collections.abc import Collection

from tiphys.api.types.core_v1 import Pod
from tiphys.scheduler.cluster import PodKey
from tiphys.scheduler.gangs.groups import GroupKey, PodGroup, named_by


class Gangs:
    """The pod groups and the pods that name them; pods that have finished are not among them."""

    def __init__(self) -> None:
        self.served: frozenset[str] = frozenset()
        """The API groups that have a PodGroup kind."""
        self._groups: dict[GroupKey, PodGroup] = {}
        self._members: dict[GroupKey, dict[PodKey, None]] = {}
        self._of: dict[PodKey, GroupKey] = {}

    def group_of(self, pod: Pod) -> GroupKey | None:
        """The group the pod names, whether it exists or not; None if it names none."""
        return named_by(pod, self.served)

    def gang_of(self, pod: Pod) -> GroupKey | None:
        """The group the pod must be placed with; None if it is placed by itself."""
        key = named_by(pod, self.served)
        return key if key is not None and self.of(key).minimum > 0 else None

    def of(self, key: GroupKey) -> PodGroup:
        """The group; one that does not exist is no gang."""
        return self._groups.get(key) or PodGroup(0)

    def members(self, key: GroupKey) -> Collection[PodKey]:
        """Its pods, with and without a node, in the order they were seen."""
        return self._members.get(key, {}).keys()

    def serve(self, api_group: str) -> None:
        """The API group has PodGroups from now on. Pods seen before must be seen again: labels mean more now."""
        self.served |= {api_group}

    def forget(self, api_group: str) -> list[PodKey]:
        """It has none any more: returns the pods that named one, which may enter the queue now."""
        self.served -= {api_group}
        for key in [key for key in self._groups if key.api_group == api_group]:
            del self._groups[key]
        return [pod for key, members in self._members.items() if key.api_group == api_group for pod in members]

    def set(self, key: GroupKey, group: PodGroup | None) -> list[PodKey]:
        """A group was seen, or is gone (None): returns the pods that this may let into the queue."""
        before = self._groups.get(key)
        if group is None:
            self._groups.pop(key, None)
        else:
            self._groups[key] = group
        return [] if before == group else list(self.members(key))

    def seen(self, pod: Pod) -> list[PodKey]:
        """A pod that is not finished was seen: returns the others that this may let into the queue."""
        group = named_by(pod, self.served)
        key = (pod.metadata.namespace or "", pod.metadata.name or "")
        if self._of.get(key) == group:
            return []
        self.gone(key)
        if group is None:
            return []
        self._of[key] = group
        members = self._members.setdefault(group, {})
        members[key] = None
        # Before there were too few, and after those who wait have been let in.
        return list(members) if len(members) == self.of(group).minimum else []

    def gone(self, key: PodKey) -> None:
        """The pod was deleted, or has finished."""
        group = self._of.pop(key, None)
        if group is not None:
            members = self._members[group]
            del members[key]
            if not members:
                del self._members[group]

    def gate(self, pod: Pod) -> str:
        """Why the pod does not enter the queue; empty if it does."""
        key = named_by(pod, self.served)
        if key is None:
            return ""
        group = self._groups.get(key)
        if group is None:
            return f'waiting for pod group "{key.name}" to appear in scheduling queue'
        if len(self.members(key)) < group.minimum:
            return "waiting for minCount pods from a gang to appear in scheduling queue"
        return ""
