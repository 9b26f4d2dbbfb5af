"""Flow control as requests meet it: their classification, remembered, and the seats of their level."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple, TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from tiphys.api import codec
from tiphys.api.types.flowcontrol_v1 import FlowSchema, PriorityLevelConfiguration
from tiphys.apiserver.authentication.user import User
from tiphys.apiserver.bootstrap import flow_control as built_in
from tiphys.apiserver.flow_control.classification import first_match, flow_of, in_order
from tiphys.apiserver.flow_control.levels import Level, Rejected, Seats
from tiphys.apiserver.routing import RequestInfo
from tiphys.apiserver.statistics import Timed
from tiphys.apiserver.watch_cache.feed import WatchCache
from tiphys.apiserver.watch_cache.history import CacheEvent
from tiphys.base.http.messages import HeaderList

GROUP: Final = "flowcontrol.apiserver.k8s.io"
_CATCH_ALL: Final = "catch-all"
_MAX_REMEMBERED: Final = 8192
T = TypeVar("T")


class Classified(NamedTuple):
    """What a request falls under. `headers` tell the client, `timed` counts the answers."""

    level: Level
    flow: str
    headers: HeaderList
    timed: Timed


class FlowControl:
    """Divides `total_seats` as the cluster's FlowSchemas and PriorityLevelConfigurations say.

    `timed` is where answers to requests like one are counted. Without such objects the built-in ones hold, so that
    there is a level for everybody at any time.
    """

    def __init__(
        self, feed: WatchCache, total_seats: int, wait_seconds: float, timed: Callable[[RequestInfo], Timed]
    ) -> None:
        self.seats = Seats(total_seats, wait_seconds)
        self._timed = timed
        self._schemas: dict[str, FlowSchema] = {}
        self._levels: dict[str, PriorityLevelConfiguration] = {}
        self._ordered: list[FlowSchema] = []
        self._remembered: dict[tuple[Any, ...], Classified] = {}
        self._stale = True
        self._follow(feed, "flowschemas", FlowSchema, self._schemas)
        self._follow(feed, "prioritylevelconfigurations", PriorityLevelConfiguration, self._levels)

    def classify(self, user: User, info: RequestInfo) -> Classified:
        """The request's level and flow: one look-up for a request like one before."""
        if self._stale:
            self._rebuild()
        if info.resource:
            key: tuple[Any, ...] = (
                user.name, user.groups, info.verb, info.group, info.version, info.resource, info.subresource,
                info.namespace, info.name != "", info.target is None,
            )  # fmt: skip
        else:
            key = (user.name, user.groups, info.verb, info.path)
        known = self._remembered.get(key)
        if known is None:
            if len(self._remembered) >= _MAX_REMEMBERED:
                self._remembered.clear()
            known = self._remembered[key] = self._classify(user, info)
        return known

    def take(self, classified: Classified) -> asyncio.Future[None] | None:
        """A seat for the request, or what to `wait` for. Raises Rejected."""
        return self.seats.take(classified.level, classified.flow)

    async def wait(self, classified: Classified, waiting: asyncio.Future[None]) -> None:
        """Return with a seat. Raises Rejected."""
        await self.seats.wait(classified.level, waiting)

    def give_back(self, classified: Classified) -> None:
        """The request is answered."""
        self.seats.give_back(classified.level)

    def _classify(self, user: User, info: RequestInfo) -> Classified:
        schema = first_match(self._ordered, user, info)
        if schema is None:
            return Classified(self.seats.levels[_CATCH_ALL], _CATCH_ALL, (), self._timed(info))
        level = self.seats.levels[schema.spec.priority_level_configuration.name]
        headers = (
            (b"X-Kubernetes-Pf-Flowschema-Uid", (schema.metadata.uid or "").encode()),
            (b"X-Kubernetes-Pf-Prioritylevel-Uid", level.uid.encode()),
        )
        return Classified(level, flow_of(schema, user, info), headers, self._timed(info))

    def _rebuild(self) -> None:
        """The mandatory objects hold even while they are missing; a schema whose level is missing does not."""
        self._stale = False
        self._remembered.clear()
        levels, schemas = dict(self._levels), dict(self._schemas)
        for missing in built_in.objects():
            name = missing.metadata.name or ""
            if name not in ("exempt", _CATCH_ALL) and self._schemas:
                continue
            if isinstance(missing, FlowSchema):
                schemas.setdefault(name, missing)
            else:
                levels.setdefault(name, missing)
        self.seats.configure(levels.values())
        self._ordered = in_order(s for s in schemas.values() if s.spec.priority_level_configuration.name in levels)

    def _follow(self, feed: WatchCache, plural: str, kind: type[T], objects: dict[str, T]) -> None:
        def follow(event: CacheEvent) -> None:
            self._stale = True
            if event.current is not None:
                objects[event.current.key] = codec.decode(kind, event.current.value)
            elif event.previous is not None:
                objects.pop(event.previous.key, None)

        feed.caches[GROUP, plural].listen(follow)

    def collect(self) -> Iterator[Metric]:
        """Upstream's metrics of flow control, by level."""
        if self._stale:
            self._rebuild()
        label = ["priority_level"]
        seats = GaugeMetricFamily(f"{_METRIC}_nominal_limit_seats", "A level's share.", labels=label)
        executing = GaugeMetricFamily(f"{_METRIC}_current_executing_requests", "With a seat.", labels=label)
        waiting = GaugeMetricFamily(f"{_METRIC}_current_inqueue_requests", "Waiting for one.", labels=label)
        dispatched = CounterMetricFamily(f"{_METRIC}_dispatched_requests", "Given a seat.", labels=label)
        rejected = CounterMetricFamily(f"{_METRIC}_rejected_requests", "Sent away.", labels=[*label, "reason"])
        for level in self.seats.levels.values():
            seats.add_metric([level.name], level.seats)
            executing.add_metric([level.name], level.executing)
            waiting.add_metric([level.name], level.waiting)
            dispatched.add_metric([level.name], level.dispatched)
            for reason, count in level.rejected.items():
                rejected.add_metric([level.name, reason], count)
        yield from (seats, executing, waiting, dispatched, rejected)


_METRIC: Final = "apiserver_flowcontrol"

__all__ = ["Classified", "FlowControl", "Rejected"]
