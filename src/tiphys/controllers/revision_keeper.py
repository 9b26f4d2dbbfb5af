"""Keeps ControllerRevisions of an owner in the API: the current one exists, surplus ones go."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from tiphys.api.errors import ApiError
from tiphys.api.selectors import Selector
from tiphys.api.types.apps_v1 import ControllerRevision
from tiphys.api.types.core_v1 import PodTemplateSpec
from tiphys.client import Client, Informer
from tiphys.client.ownership import claim
from tiphys.controllers import history
from tiphys.controllers.pods import BY_CONTROLLER, BY_ORPHANAGE, POD_INDEXES


class RevisionKeeper:
    """`hash_label` is the label of a revision that carries its hash."""

    def __init__(self, client: Client, revisions: Informer[ControllerRevision], hash_label: str) -> None:
        self._client = client
        self._revisions = revisions
        self._hash_label = hash_label
        for name in (BY_CONTROLLER, BY_ORPHANAGE):
            revisions.add_index(name, POD_INDEXES[name])

    async def of(self, owner: Any, selector: Selector) -> list[ControllerRevision]:
        """The owner's revisions, oldest first."""
        orphans = self._revisions.by_index(BY_ORPHANAGE, owner.metadata.namespace or "")
        candidates = [*self._revisions.by_index(BY_CONTROLLER, owner.metadata.uid or ""), *orphans]
        return history.ordered(await claim(self._client, owner, selector, ControllerRevision, candidates))

    async def current(
        self, owner: Any, template: PodTemplateSpec, revisions: list[ControllerRevision], labels: dict[str, str]
    ) -> ControllerRevision:
        """The revision of `template`, made or moved to the newest number as needed.

        Raises ApiError (409) when the name is taken by another template: raise the owner's collision count.
        """
        same = [revision for revision in revisions if history.equal(revision, template)]
        newest = history.next_number(revisions) - 1
        if same:
            found = same[-1]
            if found.revision == newest:
                return found
            return await self._client.update(history.renumbered(found, newest + 1))
        count = owner.status.collision_count
        wanted = history.made(owner, template, newest + 1, self._hash_label, labels, count)
        try:
            return await self._client.create(wanted)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            found = await self._client.get(ControllerRevision, wanted.metadata.name or "", owner.metadata.namespace)
            if history.equal(found, template):
                return found
            raise

    async def trim(self, revisions: list[ControllerRevision], live: Collection[str], limit: int | None) -> None:
        """Delete revisions over the limit that nobody uses."""
        for revision in history.surplus(revisions, live, limit):
            name, namespace = revision.metadata.name or "", revision.metadata.namespace or ""
            try:
                await self._client.delete(ControllerRevision, name, namespace, uid=revision.metadata.uid or "")
            except ApiError as error:
                if error.code not in (404, 409):
                    raise

    def hash_of(self, revision: ControllerRevision) -> str:
        """The hash that pods of the revision carry."""
        return revision.metadata.labels.get(self._hash_label, "")
