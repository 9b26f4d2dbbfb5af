"""DELETE: preconditions, grace, finalizers, and what is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

import msgspec

from tiphys.api import codec, errors, strategy
from tiphys.api.scheme import Resource
from tiphys.api.types.meta_v1 import DeleteOptions, Status, StatusDetails
from tiphys.apiserver.registry import listing
from tiphys.apiserver.registry.committing import Freshness, encode_parts, put, remove
from tiphys.apiserver.registry.context import Context, Write
from tiphys.apiserver.registry.options import delete_options
from tiphys.apiserver.registry.updating import Stored, Updater
from tiphys.apiserver.routing import RequestInfo
from tiphys.apiserver.watch_cache.cache import ResourceCache
from tiphys.apiserver.watch_cache.filters import Filter
from tiphys.apiserver.watch_cache.objects import CachedObject
from tiphys.base.clock import parse_rfc3339
from tiphys.base.http.messages import Request
from tiphys.store.backend import RevisionMismatch

_ATTEMPTS: Final = 16
_COLLECTION_WORKERS: Final = 32
ORPHAN: Final = "orphan"
FOREGROUND: Final = "foregroundDeletion"
_ORPHANED_BY_DEFAULT: Final = frozenset({("batch", "jobs"), ("", "replicationcontrollers")})
#: Group and plural of what DELETE answers with the deleted object instead of a Status.
ANSWERED_WITH_OBJECT: Final = frozenset(
    {
        *(("", p) for p in ("pods", "services", "serviceaccounts", "resourcequotas", "podtemplates")),
        *(("", p) for p in ("persistentvolumes", "persistentvolumeclaims")),
        *(("storage.k8s.io", p) for p in ("csidrivers", "csinodes", "storageclasses", "volumeattachments")),
        ("storage.k8s.io", "volumeattributesclasses"),
        *(("resource.k8s.io", p) for p in ("deviceclasses", "resourceclaims", "resourceclaimtemplates")),
        ("resource.k8s.io", "resourceslices"),
    }
)
_JOBS_WARNING: Final = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them "
    "or set propagationPolicy=Orphan to suppress this warning"
)


class Deleted(NamedTuple):
    """A deletion's outcome. `gone`: the object is no more; else it is only marked, or was before."""

    value: bytes
    uid: str
    gone: bool


Select = Callable[[Filter], Awaitable[list[CachedObject]]]
"""Finds a filter's objects, whatever version they are kept in."""


class Deleter:
    """The delete verbs of one resource."""

    def __init__(self, resource: Resource, cache: ResourceCache, context: Context, updater: Updater) -> None:
        self.resource = resource
        self.cache = cache
        self._context = context
        self._updater = updater

    async def delete(self, request: Request, info: RequestInfo, warnings: list[str]) -> tuple[int, bytes]:
        """Delete one object; (status code, answer). Raises ApiError."""
        options = delete_options(request)
        if self.resource.plural == "jobs" and options.propagation_policy is None and options.orphan_dependents is None:
            warnings.append(_JOBS_WARNING)
        result = await self.delete_object(info, options, request.user, warnings)
        resource = self.resource
        if not result.gone or (resource.group, resource.plural) in ANSWERED_WITH_OBJECT:
            return 200, result.value
        details = StatusDetails(
            name=info.name, group=resource.group or None, kind=resource.plural, uid=result.uid or None
        )
        return 200, codec.encode(Status(status="Success", details=details))

    async def delete_collection(
        self, request: Request, info: RequestInfo, warnings: list[str], select: Select
    ) -> list[CachedObject]:
        """Delete what the selectors match; returns what that was. Objects that vanish meanwhile are fine."""
        options = delete_options(request)
        filter_, _ = listing.make_filter(info, request.query, self.cache)
        limits = listing.list_options(request.query)
        if not self._context.feed.fresh:
            await self._context.feed.wait_fresh()
        objects = (await select(filter_))[: limits.limit or None]
        slots = asyncio.Semaphore(_COLLECTION_WORKERS)

        async def one(key: str) -> None:
            namespace, _, name = key.rpartition("/")
            target = RequestInfo(
                info.path, "delete", info.group, info.version, info.resource, namespace, name, target=info.target
            )
            async with slots:
                try:
                    await self.delete_object(target, msgspec.structs.replace(options), request.user, warnings)
                except errors.ApiError as error:
                    if error.reason != "NotFound":
                        raise

        await asyncio.gather(*(one(obj.key) for obj in objects))
        return objects

    async def delete_object(self, info: RequestInfo, options: DeleteOptions, user: Any, warnings: list[str]) -> Deleted:
        """Delete, or begin to delete, the newest version of an object. Raises ApiError."""
        freshness = Freshness(self._context)
        while True:
            try:
                return await self._delete(info, options, user, warnings)
            except errors.ApiError as error:
                await freshness.require(error)

    async def _delete(self, info: RequestInfo, options: DeleteOptions, user: Any, warnings: list[str]) -> Deleted:
        stored = await self._updater.current(info)
        for _ in range(_ATTEMPTS):
            try:
                return await self._attempt(info, stored, options, user, warnings)
            except RevisionMismatch as error:
                if error.current is None:
                    raise errors.not_found(self.resource.qualified, info.name) from error
                stored = await self._updater.stored(error.current.value, error.current.mod_revision)
        raise errors.conflict(self.resource.qualified, info.name)

    async def _attempt(
        self, info: RequestInfo, stored: Stored, options: DeleteOptions, user: Any, warnings: list[str]
    ) -> Deleted:
        resource, context = self.resource, self._context
        self._check_preconditions(options, stored)
        dry_run = bool(options.dry_run)
        write = Write(
            "DELETE", resource, info.namespace, info.name, None, stored.obj,
            user=user, dry_run=dry_run, warnings=warnings, options=options,
        )  # fmt: skip
        context.admission.admit(write)
        context.admission.validate(write)
        key = self.cache.prefix + (f"{info.namespace}/{info.name}" if resource.namespaced else info.name)
        uid = stored.obj.metadata.uid or ""
        marked = self._marked(stored, options)
        if marked is None:
            if not dry_run:
                gone = await remove(context, write, key, stored.revision)
                return Deleted(self._last_value(stored, gone.mod_revision), uid, True)
            return Deleted(stored.value, uid, True)
        if marked is stored.obj:
            return Deleted(stored.value, uid, False)
        head, tail = await self._updater.parts(write, *encode_parts(marked))
        return Deleted(await put(context, write, key, head, tail, stored.revision), uid, False)

    def _last_value(self, stored: Stored, revision: int) -> bytes:
        old = b'"resourceVersion":"%d"' % stored.revision
        return stored.value.replace(old, b'"resourceVersion":"%d"' % revision, 1)

    def _check_preconditions(self, options: DeleteOptions, stored: Stored) -> None:
        wanted, meta, kind = options.preconditions, stored.obj.metadata, self.resource.kind
        if wanted is None:
            return
        again = "The object might have been deleted and then recreated"
        if wanted.uid is not None and wanted.uid != meta.uid:
            text = f"the UID in the precondition ({wanted.uid}) does not match the UID in record ({meta.uid}). {again}"
            raise _precondition_failed(kind, meta.name, text)
        if wanted.resource_version is not None and wanted.resource_version != str(stored.revision):
            text = (
                f"the ResourceVersion in the precondition ({wanted.resource_version}) does not match the "
                f"ResourceVersion in record ({stored.revision}). The object might have been modified"
            )
            raise _precondition_failed(kind, meta.name, text)

    def _marked(self, stored: Stored, options: DeleteOptions) -> Any:
        """The object as deletion leaves it: None if it goes now, the stored one itself if nothing changes."""
        old = stored.obj
        finalizers = self._finalizers(old, options)
        grace_seconds = self._grace_seconds(old, options)
        meta = old.metadata
        if self.resource.plural == "namespaces" and not self.resource.group:
            return self._terminating(stored, finalizers)
        if meta.deletion_timestamp is not None:
            return self._again(stored, finalizers, options, grace_seconds)
        if grace_seconds == 0 and not finalizers:
            return None
        obj: Any = codec.decode(self.resource.struct, stored.value)
        obj.metadata.finalizers = finalizers
        times = self._context.times
        strategy.mark_deleted(
            obj.metadata, deletion_timestamp=times.after(grace_seconds), grace_period_seconds=grace_seconds
        )
        return obj

    def _again(self, stored: Stored, finalizers: tuple[str, ...], options: DeleteOptions, grace_seconds: int) -> Any:
        """A second deletion may only shorten the grace period or change finalizers."""
        meta = stored.obj.metadata
        current = meta.deletion_grace_period_seconds or 0
        shorter = self._is_graceful() and options.grace_period_seconds is not None and grace_seconds < current
        left = grace_seconds if shorter else current
        if left == 0 and not finalizers:
            return None
        if not shorter and finalizers == meta.finalizers:
            return stored.obj
        obj: Any = codec.decode(self.resource.struct, stored.value)
        obj.metadata.finalizers = finalizers
        if shorter:
            begun = parse_rfc3339(meta.deletion_timestamp) - current
            left_seconds = begun + left - self._context.clock.now()
            obj.metadata.deletion_timestamp = self._context.times.after(max(left_seconds, 0))
            obj.metadata.deletion_grace_period_seconds = left
        return obj

    def _terminating(self, stored: Stored, finalizers: tuple[str, ...]) -> Any:
        old = stored.obj
        if old.metadata.deletion_timestamp is not None and old.status.phase == "Terminating":
            return None if not old.spec.finalizers and not finalizers else old
        obj: Any = codec.decode(self.resource.struct, stored.value)
        obj.metadata.finalizers = finalizers
        obj.metadata.deletion_timestamp = obj.metadata.deletion_timestamp or self._context.times.now()
        obj.status.phase = "Terminating"
        return obj

    def _is_graceful(self) -> bool:
        return self.resource.plural == "pods" and not self.resource.group

    def _grace_seconds(self, old: Any, options: DeleteOptions) -> int:
        if not self._is_graceful():
            return 0
        wanted = options.grace_period_seconds
        period = wanted if wanted is not None else old.spec.termination_grace_period_seconds
        period = 30 if period is None else period
        if not old.spec.node_name or old.status.phase in ("Succeeded", "Failed"):
            return 0
        return 1 if period < 0 else int(period)

    def _finalizers(self, old: Any, options: DeleteOptions) -> tuple[str, ...]:
        """The object's finalizers with those that the propagation policy asks for, and not the other."""
        present: tuple[str, ...] = old.metadata.finalizers
        policy = options.propagation_policy
        if options.orphan_dependents is not None:
            policy = "Orphan" if options.orphan_dependents else "Background"
        if policy is None:
            if FOREGROUND in present or ORPHAN in present:
                return present
            orphaned = (self.resource.group, self.resource.plural) in _ORPHANED_BY_DEFAULT
            policy = "Orphan" if orphaned else "Background"
        kept = tuple(f for f in present if f not in (ORPHAN, FOREGROUND))
        wanted = {"Orphan": (ORPHAN,), "Foreground": (FOREGROUND,)}.get(policy, ())
        return kept + wanted


def _precondition_failed(kind: str, name: str, text: str) -> errors.ApiError:
    return errors.conflict(kind, name, text)
