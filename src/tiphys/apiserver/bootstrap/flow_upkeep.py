"""Keeps what every cluster has of flow control as it is meant, and says of FlowSchemas whether their level exists.

Who marks one of the built-in objects ``apf.kubernetes.io/autoupdate-spec: "false"`` may change it for good; what is
mandatory is put back all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple, TypeVar

from tiphys.api import codec, defaulting
from tiphys.api.errors import ApiError
from tiphys.api.types.flowcontrol_v1 import FlowSchema, FlowSchemaStatus, PriorityLevelConfiguration
from tiphys.apiserver.bootstrap import flow_control
from tiphys.apiserver.bootstrap.objects import BOOTSTRAP_OPTIONS, info_of
from tiphys.apiserver.registry.kinds import resource_of
from tiphys.apiserver.registry.registry import Registry
from tiphys.apiserver.registry.updating import Changed, Stored
from tiphys.apiserver.watch_cache.feed import WatchCache
from tiphys.base.backoff import Backoff
from tiphys.base.clock import Clock, rfc3339
from tiphys.base.logging import get_logger

_logger = get_logger(__name__)
_GROUP: Final = "flowcontrol.apiserver.k8s.io"
_PLURALS: Final = {FlowSchema: "flowschemas", PriorityLevelConfiguration: "prioritylevelconfigurations"}
_PAUSE_SECONDS: Final = 1.0
T = TypeVar("T", FlowSchema, PriorityLevelConfiguration)


class _Repair(NamedTuple):
    """What is wrong with an object, and what makes it right."""

    obj: FlowSchema | PriorityLevelConfiguration
    subresource: str
    change: Callable[[Any], None]


class FlowUpkeep:
    """Looks after each change of the two kinds; costs nothing otherwise."""

    def __init__(self, feed: WatchCache, registry: Registry, user: Any, clock: Clock) -> None:
        self._feed = feed
        self._registry = registry
        self._user = user
        self._clock = clock
        self._changed = asyncio.Event()
        self._built_in = {
            (type(obj), obj.metadata.name or ""): defaulting.default(obj) for obj in flow_control.objects()
        }
        for plural in _PLURALS.values():
            feed.caches[_GROUP, plural].listen(lambda _: self._changed.set())
        if any(self._repairs()):
            self._changed.set()

    async def run(self) -> None:
        """Until cancelled. A failure is logged and tried again."""
        backoff = Backoff(_PAUSE_SECONDS, 2.0, 60.0)
        while True:
            await self._changed.wait()
            await self._clock.sleep(_PAUSE_SECONDS)
            self._changed.clear()
            try:
                for repair in list(self._repairs()):
                    await self._make(repair)
            except Exception:
                _logger.exception("flow control's objects could not be kept")
                self._changed.set()
                await self._clock.sleep(backoff.next_seconds())
            else:
                backoff.reset()

    def _repairs(self) -> Iterator[_Repair]:
        levels = {obj.metadata.name or "": obj for obj in self._stored(PriorityLevelConfiguration)}
        for level in levels.values():
            yield from self._spec_repair(level)
        for schema in self._stored(FlowSchema):
            yield from self._spec_repair(schema)
            exists = schema.spec.priority_level_configuration.name in levels
            said = next((c.status for c in schema.status.conditions if c.type == flow_control.DANGLING), "")
            if said != ("False" if exists else "True"):
                yield _Repair(schema, "status", lambda new, exists=exists: self._tell(new, exists=exists))  # type: ignore[misc]

    def _spec_repair(self, obj: FlowSchema | PriorityLevelConfiguration) -> Iterator[_Repair]:
        wanted = self._built_in.get((type(obj), obj.metadata.name or ""))
        if wanted is None or codec.encode(wanted.spec) == codec.encode(obj.spec):
            return
        # How much an exempt level may lend is for whoever runs the cluster to say.
        is_exempt = isinstance(obj, PriorityLevelConfiguration) and obj.spec.type == "Exempt"
        if not is_exempt and (flow_control.is_mandatory(obj) or flow_control.is_kept(obj)):

            def change(new: Any) -> None:
                new.spec = wanted.spec

            yield _Repair(obj, "", change)

    def _stored(self, kind: type[T]) -> Iterator[T]:
        for cached in list(self._feed.caches[_GROUP, _PLURALS[kind]].objects.values()):
            yield codec.decode(kind, cached.value)

    def _tell(self, schema: FlowSchema, *, exists: bool) -> None:
        others = tuple(c for c in schema.status.conditions if c.type != flow_control.DANGLING)
        condition = flow_control.dangling(schema, exists=exists, since=rfc3339(self._clock.now()))
        schema.status = FlowSchemaStatus(conditions=(*others, condition))

    async def _make(self, repair: _Repair) -> None:
        kind = type(repair.obj)

        def change(stored: Stored) -> Changed:
            new = codec.decode(kind, stored.value)
            repair.change(new)
            return Changed(new, raw=repair.subresource == "status")

        info = info_of("update", repair.obj)
        info.subresource = repair.subresource
        endpoint = self._registry.of(resource_of(kind))
        try:
            await endpoint.updater.change(info, change, BOOTSTRAP_OPTIONS, self._user, [])
        except ApiError as error:
            # It is gone since.
            if error.reason != "NotFound":
                raise
