"""PUT, and the read-change-write loop that every change of a stored object goes through."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple

from tiphys.api import advice, codec, defaulting, errors, field_errors, strategy, validation
from tiphys.api.scheme import Resource
from tiphys.apiserver.registry import field_managers
from tiphys.apiserver.registry.bodies import decode_body, decode_custom
from tiphys.apiserver.registry.committing import Freshness, encode_parts, put, remove
from tiphys.apiserver.registry.context import Context, Write
from tiphys.apiserver.registry.creating import Creator, fit_namespace
from tiphys.apiserver.registry.custom import Custom
from tiphys.apiserver.registry.kinds import qualified_kind
from tiphys.apiserver.registry.options import WriteOptions, write_options
from tiphys.apiserver.registry.parts import PARTS
from tiphys.apiserver.registry.versions import Versions
from tiphys.apiserver.registry.views import View
from tiphys.apiserver.routing import RequestInfo
from tiphys.apiserver.watch_cache.cache import ResourceCache
from tiphys.apiserver.watch_cache.objects import CachedObject
from tiphys.base.http.messages import Request
from tiphys.store.backend import RevisionMismatch

_ATTEMPTS: Final = 16
_STATUS_LIKE: Final = frozenset({"status"})


class Stored(NamedTuple):
    """One version of a stored object. `obj` must not be changed."""

    value: bytes
    revision: int
    obj: Any


class Changed(NamedTuple):
    """What a change makes of a stored object.

    obj: the new object, unshared. managed: its managed fields are final (server-side apply made them).
    conditional: the client named the version it changes, so that a newer one is a conflict and not a retry.
    raw: the server's own change, stored as it is.
    """

    obj: Any
    managed: bool = False
    conditional: bool = False
    raw: bool = False


Change = Callable[[Stored], Changed]


class Updater:
    """Changes of one resource's stored objects."""

    def __init__(
        self,
        resource: Resource,
        cache: ResourceCache,
        context: Context,
        creator: Creator,
        view: View | None = None,
        custom: Custom | None = None,
        versions: Versions | None = None,
    ) -> None:
        self._versions = versions
        self.resource = resource
        self._view = view
        self._custom = custom
        self.cache = cache
        self._context = context
        self._creator = creator
        self.unconditional = strategy.allows_unconditional_update(resource.kind)

    async def put(self, request: Request, info: RequestInfo, warnings: list[str]) -> tuple[int, bytes]:
        """Replace the object by the body's; (status code, stored JSON). Raises ApiError."""
        options = write_options(request, "UpdateOptions")
        first: list[Any] = [self._decode(request, info, options, warnings)]
        if self._creates(info):
            meta = first[0].metadata
            if meta.resource_version or meta.uid:
                raise self._gone(info, meta)
            return 201, await self._creator.create_object(first[0], info, options, request.user, warnings)

        def change(stored: Stored) -> Changed:
            obj = first.pop() if first else self._decode(request, info, options, [])
            defaulting.default(obj)
            return self._checked(obj, stored, info)

        return 200, await self.change(info, change, options, request.user, warnings)

    async def change(
        self, info: RequestInfo, change: Change, options: WriteOptions, user: Any, warnings: list[str]
    ) -> bytes:
        """Apply `change` to the newest version until it is stored; returns the stored JSON. Raises ApiError."""
        freshness = Freshness(self._context)
        before = len(warnings)
        while True:
            try:
                return await self._change(info, change, options, user, warnings)
            except errors.ApiError as error:
                await freshness.require(error)
                del warnings[before:]

    async def _change(
        self, info: RequestInfo, change: Change, options: WriteOptions, user: Any, warnings: list[str]
    ) -> bytes:
        stored = await self.current(info)
        for _ in range(_ATTEMPTS):
            before = len(warnings)
            changed = change(stored)
            try:
                return await self._store(info, stored, changed, options, user, warnings)
            except RevisionMismatch as error:
                if error.current is None:
                    raise errors.not_found(self.resource.qualified, info.name) from error
                if changed.conditional:
                    raise errors.conflict(self.resource.qualified, info.name) from error
                stored = await self.stored(error.current.value, error.current.mod_revision)
                del warnings[before:]
        raise errors.conflict(self.resource.qualified, info.name)

    def read(self, info: RequestInfo) -> Stored:
        """The newest cached version, of a kind that is served as it is kept. Raises ApiError 404."""
        found = self._find(info)
        return Stored(found.value, found.revision, codec.decode(self.resource.struct, found.value))

    async def current(self, info: RequestInfo) -> Stored:
        """The newest cached version, in the version served. Raises ApiError 404."""
        found = self._find(info)
        return await self.stored(found.value, found.revision)

    async def stored(self, value: bytes, revision: int) -> Stored:
        """What is kept, in the version served. Raises ApiError if it cannot be converted."""
        if self._versions is not None:
            (value,) = await self._versions.shown((value,))
        return Stored(value, revision, codec.decode(self.resource.struct, value))

    def _find(self, info: RequestInfo) -> CachedObject:
        key = f"{info.namespace}/{info.name}" if self.resource.namespaced else info.name
        found = self.cache.objects.get(key)
        if found is None:
            raise errors.not_found(self.resource.qualified, info.name)
        return found

    async def _store(
        self, info: RequestInfo, stored: Stored, changed: Changed, options: WriteOptions, user: Any, warnings: list[str]
    ) -> bytes:
        context, resource, obj, old = self._context, self.resource, changed.obj, stored.obj
        write = Write(
            "UPDATE", resource, info.namespace, info.name, obj, old,
            subresource=info.subresource, user=user, dry_run=options.dry_run, warnings=warnings, options=options,
        )  # fmt: skip
        if not changed.raw:
            self._complete(write, changed, stored)
        try:
            if not changed.raw:
                self._check(write)
            head, tail = encode_parts(obj)
            key = self.cache.prefix + (f"{info.namespace}/{info.name}" if resource.namespaced else info.name)
        except BaseException:
            write.roll_back()
            raise
        if _finished(obj) and not write.dry_run:
            last = head + str(stored.revision).encode() + tail
            await remove(context, write, key, stored.revision)
            return last
        if head + str(stored.revision).encode() + tail == stored.value:
            write.roll_back()
            return stored.value
        head, tail = await self.parts(write, head, tail)
        return await put(context, write, key, head, tail, stored.revision)

    async def parts(self, write: Write, head: bytes, tail: bytes) -> tuple[bytes, bytes]:
        """An encoded object as it is kept. Raises ApiError, and rolls back, if it cannot be converted."""
        if self._versions is None:
            return head, tail
        try:
            return await self._versions.parts(head, tail)
        except BaseException:
            write.roll_back()
            raise

    def _complete(self, write: Write, changed: Changed, stored: Stored) -> None:
        """Owners of fields, the server's half of metadata, admission, and what this endpoint may not change."""
        obj, old, options, subresource = write.obj, write.old, write.options, write.subresource
        if not changed.managed:
            now = self._context.times.now()
            known = None if self._custom is None else self._custom.known(subresource)
            field_managers.updated(stored.value, obj, options.field_manager, subresource, now, known)
        strategy.begin_update(obj.metadata, old.metadata)
        obj.metadata.resource_version = str(stored.revision)
        self._context.admission.admit(write)
        if self._custom is not None:
            self._custom.prepare_update(obj, old, subresource)
        elif subresource in _STATUS_LIKE:
            strategy.prepare_status_update(obj, old)
        elif subresource in PARTS:
            PARTS[subresource](obj, old)
        else:
            strategy.prepare_update(obj, old)

    def _check(self, write: Write) -> None:
        check = validation.validate_status_update if write.subresource in _STATUS_LIKE else validation.validate_update
        if write.subresource in PARTS:
            check = partial(validation.validate_part_update, write.subresource)
        found = check(write.obj, write.old)
        if self._view is not None and self._view.check_update is not None:
            found = [*found, *self._view.check_update(write.obj, write.old)]
        if self._custom is not None:
            found = [*found, *self._custom.validate(write.obj, write.old, write.warnings)]
        if found:
            raise errors.invalid(qualified_kind(self.resource), write.name, found)
        self._context.admission.validate(write)
        if not write.subresource:
            write.warnings += advice.on_update(write.obj, write.old)
            for allocate in self._context.allocations.get((self.resource.group, self.resource.plural), ()):
                allocate(write)

    def _decode(self, request: Request, info: RequestInfo, options: WriteOptions, warnings: list[str]) -> Any:
        resource = self.resource
        wire = resource if self._view is None else self._view.resource
        if self._custom is not None:
            obj = decode_custom(request, wire, self._custom, options.field_validation, warnings)
        else:
            obj = decode_body(request, wire.struct, wire.api_version, wire.kind, options.field_validation, warnings)
        if self._view is not None:
            obj = self._view.kept(obj)
        meta = obj.metadata
        if meta.name != info.name:
            text = f"the name of the object ({meta.name or ''}) does not match the name on the URL ({info.name})"
            raise errors.bad_request(text)
        fit_namespace(meta, info.namespace if resource.namespaced else "")
        return obj

    def _checked(self, obj: Any, stored: Stored, info: RequestInfo) -> Changed:
        """Hold the object against the version and identity the client believes it changes."""
        check_identity(self.resource, info, obj.metadata, stored.obj.metadata)
        revision = obj.metadata.resource_version
        if not revision or revision == "0":
            if not self.unconditional and not info.subresource:
                wrong = field_errors.invalid("metadata.resourceVersion", 0, "must be specified for an update")
                raise errors.invalid(qualified_kind(self.resource), info.name, [wrong])
            return Changed(obj)
        if revision != str(stored.revision):
            raise errors.conflict(self.resource.qualified, info.name)
        return Changed(obj, conditional=True)

    def _creates(self, info: RequestInfo) -> bool:
        if info.subresource or not strategy.allows_create_on_update(self.resource.kind):
            return False
        key = f"{info.namespace}/{info.name}" if self.resource.namespaced else info.name
        return key not in self.cache.objects

    def _gone(self, info: RequestInfo, meta: Any) -> errors.ApiError:
        if meta.uid:
            return errors.conflict(
                self.resource.qualified, info.name, uid_mismatch(info, self.cache.prefix, meta.uid, "")
            )
        return errors.conflict(self.resource.qualified, info.name)


def check_identity(resource: Resource, info: RequestInfo, new: Any, old: Any) -> None:
    """Refuse a change meant for another object of the same name. Raises ApiError 409."""
    if new.uid and new.uid != old.uid:
        prefix = f"/registry/{resource.plural}/"
        raise errors.conflict(resource.qualified, info.name, uid_mismatch(info, prefix, new.uid, old.uid or ""))


def uid_mismatch(info: RequestInfo, prefix: str, wanted: str, found: str) -> str:
    """Upstream's words for a uid precondition that does not hold."""
    key = prefix + (f"{info.namespace}/{info.name}" if info.namespace else info.name)
    return (
        f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: "
        f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}"
    )


def _finished(obj: Any) -> bool:
    """True for an object whose deletion waited for finalizers that are gone now."""
    meta = obj.metadata
    if meta.deletion_timestamp is None or meta.finalizers or meta.deletion_grace_period_seconds:
        return False
    return not (obj.kind == "Namespace" and obj.spec.finalizers)
