"""The pods that have a node: as the apiserver says, or as we decided and have not heard back.

                    ┌────── forget (binding failed) ──────┐
     (none) ──assume──► assumed ──bound──► assumed, until a deadline ──expire──► (none)
        │                  └───────observe───────┴──────────┐
        └──────────────────────observe──────────────────► known ──gone──► (none)

An assumed pod counts on its node at once: the next decision sees it. `observe` is the truth and always wins; a pod
seen on another node than assumed moves there.
"""

from __future__ import annotations

from itertools import takewhile

from tiphys.api.types.core_v1 import Pod
from tiphys.scheduler.cluster import Cluster, PodKey
from tiphys.scheduler.requests import in_use
from tiphys.scheduler.template import PodInfo, Templates


class PodCache:
    """Keeps `cluster` in agreement with what is observed and assumed."""

    def __init__(self, cluster: Cluster, templates: Templates, *, assumed_seconds: float) -> None:
        self._cluster = cluster
        self._templates = templates
        self._assumed_seconds = assumed_seconds
        self._pods: dict[PodKey, PodInfo] = {}
        self._assumed: set[PodKey] = set()
        #: Of the assumed, the bound ones with the moment they expire: in order of it, for all have the same time.
        self._deadlines: dict[PodKey, float] = {}

    def __len__(self) -> int:
        return len(self._pods)

    @property
    def assumed(self) -> int:
        """How many of them are assumed."""
        return len(self._assumed)

    def get(self, key: PodKey) -> PodInfo | None:
        return self._pods.get(key)

    def is_assumed(self, key: PodKey) -> bool:
        return key in self._assumed

    def assume(self, info: PodInfo, node_name: str) -> None:
        """We decided; the binding is on its way."""
        self._pods[info.key] = info
        self._assumed.add(info.key)
        self._cluster.place(info, node_name)

    def bound(self, info: PodInfo, now: float) -> None:
        """The binding was accepted; the pod is expected to be observed soon."""
        if self._pods.get(info.key) is info and info.key in self._assumed:
            self._deadlines[info.key] = now + self._assumed_seconds

    def forget(self, info: PodInfo) -> bool:
        """The binding failed; returns whether the pod was still assumed."""
        if self._pods.get(info.key) is not info or info.key not in self._assumed:
            return False
        self._drop(info.key)
        return True

    def observe(self, pod: Pod) -> bool:
        """A pod that has a node was seen; returns whether that is more than the confirmation of an assumption."""
        key = (pod.metadata.namespace or "", pod.metadata.name or "")
        known = self._pods.get(key)
        if known is None:
            self._add(pod)
            return True
        news = key not in self._assumed
        self._confirm(key)
        if (known.uid, known.node_name) != (pod.metadata.uid or "", pod.spec.node_name) or _placed_otherwise(
            known.pod, pod
        ):
            self._drop(key)
            self._add(pod)
            return True
        known.pod = pod
        known.start = pod.status.start_time or known.start
        if pod.metadata.deletion_timestamp is not None and not known.terminating:
            self._cluster.terminating(known)
        return news

    def gone(self, key: PodKey) -> PodInfo | None:
        """The pod was deleted or has finished; returns what was known of it."""
        return self._drop(key)

    def expire(self, now: float) -> list[PodInfo]:
        """Drop the assumed pods whose time is over."""
        due = [key for key, _ in takewhile(lambda item: item[1] <= now, self._deadlines.items())]
        return [info for key in due if (info := self._drop(key)) is not None]

    def next_expiry(self) -> float | None:
        """When `expire` has something to do next, if ever."""
        return next(iter(self._deadlines.values()), None)

    def _add(self, pod: Pod) -> None:
        info = PodInfo(pod, self._templates.of(pod))
        self._pods[info.key] = info
        self._cluster.place(info, info.node_name)

    def _drop(self, key: PodKey) -> PodInfo | None:
        info = self._pods.pop(key, None)
        self._confirm(key)
        if info is not None:
            self._cluster.remove(info)
        return info

    def _confirm(self, key: PodKey) -> None:
        self._assumed.discard(key)
        self._deadlines.pop(key, None)


def _placed_otherwise(old: Pod, new: Pod) -> bool:
    """Whether what others see of a pod on a node changed: its labels, or what it takes, by an in-place resize."""
    return (
        old.metadata.labels != new.metadata.labels
        or old.spec.containers != new.spec.containers
        or in_use(old) != in_use(new)
    )
