"""``persistentvolume-expander-controller``: hands claims that grew to whoever can make their volumes larger."""

from __future__ import annotations

from msgspec.structs import replace

from tiphys.api.types.core_v1 import PersistentVolume, PersistentVolumeClaim
from tiphys.client import NORMAL, ObjectKey
from tiphys.controllers.runtime import Environment, KeyedController
from tiphys.controllers.volumeexpand.reconcile import RESIZER, WAITING, resizer_of, waits_to_grow


class VolumeExpandController(KeyedController):
    """Writes the resizer's name on the claim, once, and says that it is waited for."""

    name = "persistentvolume-expander-controller"

    def __init__(self, environment: Environment) -> None:
        super().__init__()
        self._client = environment.client
        self._recorder = environment.recorder("volume_expand")
        self._claims = environment.informer(PersistentVolumeClaim)
        self._volumes = environment.informer(PersistentVolume)
        self._claims.add_handler(on_add=self._seen, on_update=lambda _, new: self._seen(new))

    async def sync(self, key: ObjectKey) -> None:
        claim = self._claims.get(key.name, key.namespace)
        if claim is None or not waits_to_grow(claim):
            return
        volume = self._volumes.get(claim.spec.volume_name or "")
        resizer = resizer_of(volume) if volume is not None else ""
        if resizer and claim.metadata.annotations.get(RESIZER) != resizer:
            annotations = {**claim.metadata.annotations, RESIZER: resizer}
            claim = await self._client.update(replace(claim, metadata=replace(claim.metadata, annotations=annotations)))
            self._recorder.event(claim, NORMAL, "ExternalExpanding", WAITING)

    def _seen(self, claim: PersistentVolumeClaim) -> None:
        if waits_to_grow(claim):
            self.enqueue(claim)
