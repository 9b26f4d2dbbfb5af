"""POST: a new object, from the body to the answer."""

from __future__ import annotations

from typing import Any, Final

from tiphys.api import advice, defaulting, errors, field_errors, strategy, validation
from tiphys.api.scheme import Resource
from tiphys.apiserver.registry import field_managers
from tiphys.apiserver.registry.bodies import decode_body, decode_custom
from tiphys.apiserver.registry.committing import Freshness, encode_parts, put
from tiphys.apiserver.registry.context import Context, NotYet, Write
from tiphys.apiserver.registry.custom import Custom
from tiphys.apiserver.registry.kinds import qualified_kind
from tiphys.apiserver.registry.options import WriteOptions, write_options
from tiphys.apiserver.registry.versions import Versions
from tiphys.apiserver.registry.views import View
from tiphys.apiserver.routing import RequestInfo
from tiphys.apiserver.watch_cache.cache import ResourceCache
from tiphys.base.chance import CHANCE
from tiphys.base.http.messages import Request
from tiphys.store.backend import RevisionMismatch

_PATIENCE_ATTEMPTS: Final = 10
_PATIENCE_SECONDS: Final = 0.1
_GENERATE_ATTEMPTS: Final = 8
_SUFFIX_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"
_NAMESPACE_MISMATCH: Final = "the namespace of the provided object does not match the namespace sent on the request"


def random_suffix() -> str:
    """Five characters for a generated name, of upstream's vowel-free alphabet."""
    return "".join(CHANCE.choices(_SUFFIX_LETTERS, k=5))


class Creator:
    """The create verb of one resource."""

    def __init__(
        self,
        resource: Resource,
        cache: ResourceCache,
        context: Context,
        view: View | None = None,
        custom: Custom | None = None,
        versions: Versions | None = None,
    ) -> None:
        self._versions = versions
        self.resource = resource
        self._wire = resource if view is None else view.resource
        self._view = view
        self._custom = custom
        self.cache = cache
        self._context = context

    async def create(self, request: Request, info: RequestInfo, warnings: list[str]) -> bytes:
        """Create the body's object; returns its stored JSON. Raises ApiError."""
        options = write_options(request, "CreateOptions")
        wire = self._wire
        if self._custom is not None:
            obj = decode_custom(request, wire, self._custom, options.field_validation, warnings)
        else:
            obj = decode_body(request, wire.struct, wire.api_version, wire.kind, options.field_validation, warnings)
        if self._view is not None:
            obj = self._view.kept(obj)
        return await self.create_object(obj, info, options, request.user, warnings)

    async def create_object(
        self,
        obj: Any,
        info: RequestInfo,
        options: WriteOptions,
        user: Any,
        warnings: list[str],
        *,
        applied: bool = False,
    ) -> bytes:
        """Create `obj`, which is unshared. `applied`: its managed fields are final already."""
        fit_namespace(obj.metadata, info.namespace if self.resource.namespaced else "")
        defaulting.default(obj)
        generate = not obj.metadata.name and bool(obj.metadata.generate_name)
        if not generate:
            return await self._patient(obj, info, options, user, warnings, applied)
        base = obj.metadata.generate_name
        for attempt in range(_GENERATE_ATTEMPTS):
            obj.metadata.name = None
            try:
                return await self._patient(obj, info, options, user, warnings, applied)
            except errors.ApiError as error:
                taken = error.reason == "AlreadyExists" and attempt + 1 < _GENERATE_ATTEMPTS
                if not taken:
                    raise
        raise errors.generate_name_conflict(self.resource.qualified, base)

    async def _patient(
        self, obj: Any, info: RequestInfo, options: WriteOptions, user: Any, warnings: list[str], applied: bool
    ) -> bytes:
        """Try again, for a second at most, while admission misses what a controller is about to make."""
        freshness = Freshness(self._context)
        before = len(warnings)
        patience = _PATIENCE_ATTEMPTS
        while True:
            try:
                return await self._attempt(obj, info, options, user, warnings, applied)
            except NotYet:
                if patience == 0:
                    raise
                patience -= 1
                await self._context.clock.sleep(_PATIENCE_SECONDS)
            except errors.ApiError as error:
                # What is missing, as the namespace, or too much: before anything was allocated.
                if error.code not in (403, 404):
                    raise
                await freshness.require(error)
                del warnings[before:]

    async def _attempt(
        self, obj: Any, info: RequestInfo, options: WriteOptions, user: Any, warnings: list[str], applied: bool
    ) -> bytes:
        context, resource, meta = self._context, self.resource, obj.metadata
        now = context.times.now()
        strategy.begin_create(meta, uid=context.new_uid(), now=now, suffix=random_suffix)
        write = Write(
            "CREATE", resource, info.namespace, meta.name or "", obj,
            user=user, dry_run=options.dry_run, warnings=warnings, options=options,
        )  # fmt: skip
        if not applied:
            known = None if self._custom is None else self._custom.known("")
            field_managers.created(obj, options.field_manager, now, known)
        context.admission.admit(write)
        strategy.prepare_create(obj, now=now)
        if self._custom is not None:
            self._custom.prepare_create(obj)
        try:
            found = validation.validate_create(obj)
            if self._view is not None and self._view.check_create is not None:
                found = [*found, *self._view.check_create(obj)]
            if self._custom is not None:
                found = [*found, *self._custom.validate(obj, None, write.warnings)]
            if found:
                raise errors.invalid(qualified_kind(resource), meta.name or "", found)
            context.admission.validate(write)
            for allocate in context.allocations.get((resource.group, resource.plural), ()):
                allocate(write)
            if meta.resource_version:
                raise errors.unclassified("resourceVersion should not be set on objects to be created")
            key = f"{meta.namespace}/{meta.name}" if resource.namespaced else meta.name
            if key in self.cache.objects and (write.dry_run or not context.backend.shared):
                raise errors.already_exists(resource.qualified, meta.name)
            warnings += advice.on_create(obj)
            head, tail = encode_parts(obj)
            if self._versions is not None:
                head, tail = await self._versions.parts(head, tail)
        except BaseException:
            write.roll_back()
            raise
        try:
            return await put(context, write, self.cache.prefix + key, head, tail, 0)
        except RevisionMismatch as error:
            raise errors.already_exists(resource.qualified, meta.name) from error


def fit_namespace(meta: Any, namespace: str) -> None:
    """Give an object the request's namespace. Raises ApiError 400 if it has another one."""
    if meta.namespace and meta.namespace != namespace:
        raise errors.bad_request(_NAMESPACE_MISMATCH)
    meta.namespace = namespace or None


def name_required() -> field_errors.FieldError:
    """What is wrong with an object without a name."""
    return field_errors.required("metadata.name", "name or generateName is required")
