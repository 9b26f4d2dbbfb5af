"""A Handle for decisions alone: plugins see the objects of a snapshot, and nothing they do reaches a cluster."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from tiphys.client import Client, EventRecorder, Informer
from tiphys.client.cache import key_of
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.handle import Handle
from tiphys.scheduler.volume_binder import VolumeBinder

T = TypeVar("T")


class StillHandle(Handle):
    """As a Handle, but that time stands still, `client` is None, and informers are given their objects."""

    def __init__(self, cluster: Cluster) -> None:
        nobody, clock = cast(Client, None), StillClock()
        volumes = VolumeBinder(nobody, cluster.volumes, clock)
        super().__init__(
            nobody,
            cluster,
            clock,
            cast(EventRecorder, SilentRecorder()),
            volumes,
            happened=lambda _: None,
            activate=lambda _: None,
        )

    def informer(self, kind: type[T]) -> Informer[T]:
        if kind not in self.informers:
            self.informers[kind] = StillInformer(kind)
        return self.informers[kind]

    def observe(self, obj: Any, *, gone: bool = False) -> None:
        """An object came, changed or went."""
        informer = self.informers.get(type(obj))
        if informer is not None:
            cast(StillInformer[Any], informer).observe(obj, gone=gone)


class StillInformer(Informer[T]):
    """Is told, instead of asking."""

    def __init__(self, kind: type[T]) -> None:
        super().__init__(cast(Client, None), kind)
        self._synced.set()

    def observe(self, obj: T, *, gone: bool = False) -> None:
        """It came, changed or went."""
        namespace, name = key = key_of(obj)
        if gone:
            self._removed(key, obj)
            return
        old = self.cache.get(name, namespace)
        self.cache.set(obj)
        for handler in self._handlers:
            if old is None:
                self._call(handler.on_add, obj)
            else:
                self._call(handler.on_update, old, obj)


class StillClock:
    """It is always the beginning of 1970."""

    def now(self) -> float:
        return 0.0

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        """Time never comes."""
        raise RuntimeError("nothing is waited for in a snapshot")


class SilentRecorder:
    """Events about what does not happen are nobody's business."""

    def event(self, obj: Any, type: str, reason: str, message: str, *, field_path: str = "") -> None:
        """Nothing."""
