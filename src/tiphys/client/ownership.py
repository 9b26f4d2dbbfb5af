"""Controller references: which objects a controller's object owns, which it may adopt and which it must let go."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tiphys.api.errors import ApiError
from tiphys.api.selectors import Selector
from tiphys.api.types.meta_v1 import OwnerReference
from tiphys.client.client import Client
from tiphys.client.view import View, view_of

T = TypeVar("T")


def controller_of(obj: Any) -> OwnerReference | None:
    """The reference to the controller that manages `obj`, or None."""
    for reference in obj.metadata.owner_references:
        if reference.controller:
            return reference  # type: ignore[no-any-return]
    return None


def is_controlled_by(obj: Any, owner: Any) -> bool:
    """Whether `owner` manages `obj`, by uid."""
    reference = controller_of(obj)
    return reference is not None and reference.uid == owner.metadata.uid


def controller_index(obj: Any) -> tuple[str, ...]:
    """An indexer: the uid of the managing controller."""
    reference = controller_of(obj)
    return (reference.uid,) if reference else ()


def controller_ref(owner: Any) -> OwnerReference:
    """The reference that objects made for `owner` carry."""
    return OwnerReference(
        api_version=owner.api_version,
        kind=owner.kind,
        name=owner.metadata.name or "",
        uid=owner.metadata.uid or "",
        controller=True,
        block_owner_deletion=True,
    )


@dataclass(frozen=True, slots=True)
class Claim(Generic[T]):
    """What to do with candidates: `owned` already, to `adopt` (orphans that match), to `release` (owned, no match)."""

    owned: tuple[T, ...]
    adopt: tuple[T, ...]
    release: tuple[T, ...]


def plan_claim(owner: Any, selector: Selector, candidates: Iterable[T]) -> Claim[T]:
    """Sort candidates of `owner`'s namespace. An owner or object being deleted adopts and releases nothing."""
    owned: list[T] = []
    adopt: list[T] = []
    release: list[T] = []
    deleting = bool(owner.metadata.deletion_timestamp)
    for obj in candidates:
        meta: Any = obj.metadata  # type: ignore[attr-defined]
        reference = controller_of(obj)
        if reference is not None:
            if reference.uid != owner.metadata.uid:
                continue
            if selector.matches(meta.labels):
                owned.append(obj)
            elif not deleting:
                release.append(obj)
        elif not deleting and not meta.deletion_timestamp and selector.matches(meta.labels):
            adopt.append(obj)
    return Claim(tuple(owned), tuple(adopt), tuple(release))


async def claim(
    client: Client, owner: Any, selector: Selector, kind: type[T] | View[T], candidates: Iterable[T]
) -> list[T]:
    """The candidates `owner` controls after adopting and releasing what it should.

    Before the first adoption the owner is read again: a cache may not know yet that it is being deleted or replaced.
    Raises ApiError or OSError when that, or a patch, fails for another reason than that the object is gone.
    """
    plan = plan_claim(owner, selector, candidates)
    found = list(plan.owned)
    view = view_of(kind)
    if plan.adopt and await _may_adopt(client, owner):
        found += [obj for obj in plan.adopt if await adopt(client, owner, view, obj)]
    for obj in plan.release:
        await release(client, owner, view, obj)
    return found


async def adopt(client: Client, owner: Any, view: View[T], obj: T, *, finalizers: tuple[str, ...] = ()) -> bool:
    """Add the controller reference (and `finalizers`) to `obj`; False if it is gone."""
    meta: Any = obj.metadata  # type: ignore[attr-defined]
    reference = controller_ref(owner)
    patch: dict[str, Any] = {
        "metadata": {
            "uid": meta.uid,
            "ownerReferences": [
                {
                    "apiVersion": reference.api_version,
                    "kind": reference.kind,
                    "name": reference.name,
                    "uid": reference.uid,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        }
    }
    if finalizers:
        patch["metadata"]["finalizers"] = list(finalizers)
    return await _patch(client, view, meta, patch)


async def release(client: Client, owner: Any, view: View[T], obj: T, *, finalizers: tuple[str, ...] = ()) -> bool:
    """Take the reference to `owner` (and `finalizers`) off `obj`; False if it is gone or was changed by others."""
    meta: Any = obj.metadata  # type: ignore[attr-defined]
    patch: dict[str, Any] = {
        "metadata": {"uid": meta.uid, "ownerReferences": [{"$patch": "delete", "uid": owner.metadata.uid}]}
    }
    if finalizers:
        patch["metadata"]["$deleteFromPrimitiveList/finalizers"] = list(finalizers)
    return await _patch(client, view, meta, patch)


async def _patch(client: Client, view: View[T], meta: Any, patch: dict[str, Any]) -> bool:
    try:
        await client.patch(view, meta.name, meta.namespace or "", patch, type="strategic")
    except ApiError as error:
        # 422: the uid in the patch is not the object's, it was replaced by a namesake.
        if error.code in (404, 422):
            return False
        raise
    return True


async def _may_adopt(client: Client, owner: Any) -> bool:
    try:
        fresh: Any = await client.get(type(owner), owner.metadata.name, owner.metadata.namespace or "")
    except ApiError as error:
        if error.code == 404:
            return False
        raise
    return fresh.metadata.uid == owner.metadata.uid and not fresh.metadata.deletion_timestamp
