"""Follows the PodGroups of the API groups that have them: built in, or by a definition that may come late.

start ──discovery──► served ──informer──► Gangs.set ──► pods that may enter the queue
           ▲                                 ▲
           └── a definition comes ───────────┴── or goes: its groups are gone, its label means nothing any more
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from tiphys.api.errors import ApiError
from tiphys.api.scheme import Resource
from tiphys.api.types.apiextensions_v1 import CustomResourceDefinition
from tiphys.base.logging import get_logger
from tiphys.base.tasks import Supervisor
from tiphys.client import Client, Informer, PartialObject, View, metadata_only
from tiphys.client.view import view_of
from tiphys.scheduler.cluster import PodKey
from tiphys.scheduler.gangs.groups import API_GROUPS, PodGroupObject, key_of, read
from tiphys.scheduler.gangs.membership import Gangs

PLURAL: Final = "podgroups"
SYNC_SECONDS: Final = 10.0
"""How long the start waits for groups that are served but do not come; their pods wait outside the queue meanwhile."""
_VERBS: Final = ("list", "watch")
_logger = get_logger(__name__)


class PodGroupWatch:
    """Keeps `gangs` in agreement with the PodGroups.

    `reconsider`: pods whose gate may be open now. `recount`: an API group came, and every pod is to be seen again.
    """

    def __init__(
        self,
        client: Client,
        gangs: Gangs,
        reconsider: Callable[[Iterable[PodKey]], None],
        recount: Callable[[], None],
    ) -> None:
        self._client = client
        self._gangs = gangs
        self._reconsider = reconsider
        self._recount = recount
        self._defined_groups: set[str] = set()
        self._following: dict[str, asyncio.Task[None]] = {}
        self._supervisor: Supervisor | None = None
        view = metadata_only(view_of(CustomResourceDefinition).resource)
        self._definitions: Informer[PartialObject] = Informer(client, view)
        self._definitions.add_handler(on_add=self._defined, on_delete=self._undefined)

    async def start(self, supervisor: Supervisor) -> None:
        """Returns when the groups there are, are known: no pod is taken for one without a group."""
        self._supervisor = supervisor
        informers = [informer for group in API_GROUPS if (informer := await self._follow(group)) is not None]
        supervisor.spawn(self._definitions.run, "watch-podgroup-definitions")
        try:
            async with asyncio.timeout(SYNC_SECONDS):
                for informer in informers:
                    await informer.wait_synced()
        except TimeoutError:
            _logger.warning("pod groups are served but cannot be listed", groups=sorted(self._gangs.served))

    def _defined(self, definition: PartialObject) -> None:
        plural, _, group = (definition.metadata.name or "").partition(".")
        if plural == PLURAL and group in API_GROUPS and self._supervisor is not None:
            self._defined_groups.add(group)
            self._supervisor.spawn(lambda: self._follow_soon(group), f"follow-{PLURAL}.{group}")

    def _undefined(self, definition: PartialObject) -> None:
        plural, _, group = (definition.metadata.name or "").partition(".")
        if plural != PLURAL:
            return
        self._defined_groups.discard(group)
        if (task := self._following.pop(group, None)) is not None:
            task.cancel()
            self._reconsider(self._gangs.forget(group))

    async def _follow_soon(self, group: str) -> None:
        """A definition is served a moment after it is made; raising makes the supervisor try again, with a delay."""
        await self._follow(group)
        if group in self._defined_groups and group not in self._following:
            raise ConnectionError(f"{PLURAL}.{group} is defined but not served yet")

    async def _follow(self, group: str) -> Informer[PodGroupObject] | None:
        """Follow that API group's PodGroups, if it has them and they are not followed yet."""
        version = await self._served_version(group)
        if not version or group in self._following or self._supervisor is None:
            return None
        self._gangs.serve(group)
        self._recount()
        resource = Resource(group, version, "PodGroup", PLURAL, True, (), (), (), _VERBS)
        informer = Informer(self._client, View(resource, PodGroupObject))
        informer.add_handler(
            on_add=lambda obj: self._seen(group, obj),
            on_update=lambda _, obj: self._seen(group, obj),
            on_delete=lambda obj: self._reconsider(self._gangs.set(key_of(group, obj), None)),
        )
        self._following[group] = self._supervisor.spawn(informer.run, f"watch-{PLURAL}.{group}")
        return informer

    def _seen(self, group: str, obj: PodGroupObject) -> None:
        self._reconsider(self._gangs.set(key_of(group, obj), read(group, obj)))

    async def _served_version(self, group: str) -> str:
        """The newest version of the group that has PodGroups; empty if none has, or nobody answers."""
        try:
            known = await self._ask(f"/apis/{group}")
            for version in known.get("versions") or ():
                served = await self._ask(f"/apis/{group}/{version['version']}")
                if any(resource["name"] == PLURAL for resource in served.get("resources") or ()):
                    return str(version["version"])
        except (ApiError, OSError, TimeoutError, msgspec.MsgspecError) as error:
            _logger.warning("pod groups not discovered", group=group, error=str(error))
        return ""

    async def _ask(self, target: str) -> dict[str, Any]:
        answer = await self._client.raw("GET", target)
        found: dict[str, Any] = msgspec.json.decode(answer.body) if answer.status == 200 else {}
        return found
