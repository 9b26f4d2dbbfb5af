"""Puts back what a cluster cannot be without, when somebody deletes it."""

from __future__ import annotations

import asyncio
from typing import Final

from tiphys.apiserver.bootstrap import flow_control
from tiphys.apiserver.bootstrap.objects import NAMESPACES, Bootstrap
from tiphys.apiserver.registry.kinds import resource_of
from tiphys.apiserver.watch_cache.feed import WatchCache
from tiphys.apiserver.watch_cache.history import CacheEvent
from tiphys.base.clock import Clock
from tiphys.base.logging import get_logger

_logger = get_logger(__name__)
_PAUSE_SECONDS: Final = 1.0
_KEPT: Final = {
    ("", "namespaces"): frozenset(NAMESPACES),
    ("", "services"): frozenset({"default/kubernetes"}),
    ("", "endpoints"): frozenset({"default/kubernetes"}),
    ("discovery.k8s.io", "endpointslices"): frozenset({"default/kubernetes"}),
    ("scheduling.k8s.io", "priorityclasses"): frozenset({"system-node-critical", "system-cluster-critical"}),
}


class Keeper:
    """Runs the bootstrap again after a deletion of one of its objects; costs nothing otherwise."""

    def __init__(self, feed: WatchCache, bootstrap: Bootstrap, clock: Clock) -> None:
        self._bootstrap = bootstrap
        self._clock = clock
        self._missing = asyncio.Event()
        kept = dict(_KEPT)
        for obj in flow_control.objects():
            resource = resource_of(type(obj))
            key = (resource.group, resource.plural)
            kept[key] = kept.get(key, frozenset()) | {obj.metadata.name or ""}
        for key, names in kept.items():
            feed.caches[key].listen(lambda event, names=names: self._follow(event, names))  # type: ignore[misc]

    async def run(self) -> None:
        """Until cancelled. A failure is logged and tried again."""
        while True:
            await self._missing.wait()
            await self._clock.sleep(_PAUSE_SECONDS)
            self._missing.clear()
            try:
                await self._bootstrap.run()
            except Exception:
                _logger.exception("an object every cluster has could not be made again")
                self._missing.set()

    def _follow(self, event: CacheEvent, names: frozenset[str]) -> None:
        if event.current is None and event.previous is not None and event.previous.key in names:
            self._missing.set()
