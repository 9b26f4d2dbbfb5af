"""PATCH: the four patch languages, applied to what is stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
import yaml

from tiphys.api import codec, defaulting, errors, field_errors, go_types, strict, times, zeros
from tiphys.api.patch import json_patch, merge_patch, of_definition, server_side_apply, strategic_merge
from tiphys.api.scheme import Resource
from tiphys.api.types.meta_v1 import Status, StatusDetails
from tiphys.apiserver.customresources.schema_types import type_problem
from tiphys.apiserver.registry import nesting
from tiphys.apiserver.registry.bodies import YAML_LOADER
from tiphys.apiserver.registry.context import Context
from tiphys.apiserver.registry.creating import Creator
from tiphys.apiserver.registry.custom import Custom
from tiphys.apiserver.registry.kinds import qualified_kind
from tiphys.apiserver.registry.options import WriteOptions, write_options
from tiphys.apiserver.registry.updating import Changed, Stored, Updater
from tiphys.apiserver.registry.views import View
from tiphys.apiserver.routing import RequestInfo
from tiphys.apiserver.watch_cache.cache import ResourceCache
from tiphys.base.http.messages import Request

_JSON: Final = b"application/json-patch+json"
_MERGE: Final = b"application/merge-patch+json"
_STRATEGIC: Final = b"application/strategic-merge-patch+json"
_APPLY: Final = b"application/apply-patch+yaml"
_ACCEPTED: Final = (_JSON, _MERGE, _STRATEGIC, _APPLY, b"application/apply-patch+cbor")
_CUSTOM_ACCEPTED: Final = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/apply-patch+yaml",
)
_OPTIONS: Final = "PatchOptions.meta.k8s.io"

Patch = Callable[[dict[str, Any]], dict[str, Any]]


class Patcher:
    """The patch verb of one resource."""

    def __init__(
        self,
        resource: Resource,
        cache: ResourceCache,
        context: Context,
        creator: Creator,
        updater: Updater,
        view: View | None = None,
        custom: Custom | None = None,
    ) -> None:
        self.resource = resource
        self._wire = resource if view is None else view.resource
        self._view = view
        self._custom = custom
        self.cache = cache
        self._context = context
        self._creator = creator
        self._updater = updater
        self._plan = of_definition(self._wire.definition)

    async def patch(self, request: Request, info: RequestInfo, warnings: list[str]) -> tuple[int, bytes]:
        """Patch the object, or create it by server-side apply; (status code, stored JSON). Raises ApiError."""
        kind = request.headers.get(b"content-type").partition(b";")[0].strip().lower()
        if kind not in _ACCEPTED[:4]:
            raise unsupported_patch()
        if kind == _STRATEGIC and self._custom is not None:
            raise errors.unsupported_media_type(_CUSTOM_ACCEPTED)
        options = write_options(request, "PatchOptions")
        _check_options(options, kind)
        if kind == _APPLY:
            return await self._apply(request, info, options, warnings)
        patch = self._parse(request.body, kind, options, warnings)

        def change(stored: Stored) -> Changed:
            return self._changed(patch(self._document(stored)), stored, info, options, warnings)

        return 200, await self._updater.change(info, change, options, request.user, warnings)

    def _parse(self, body: bytes, kind: bytes, options: WriteOptions, warnings: list[str]) -> Patch:
        nesting.check_json(body)
        try:
            data = codec.decode_any(body)
        except msgspec.DecodeError as error:
            reason = go_types.parse_error(body)
            raise errors.bad_request(f"error decoding patch: {reason}") from error
        if options.field_validation == "Strict" and (twice := strict.inspect_text(body)):
            raise errors.bad_request(f"strict decoding error: {', '.join(twice)}")
        if options.field_validation == "Warn":
            warnings += strict.inspect_text(body)
        if kind == _JSON:
            return lambda document: json_patch(document, data)
        if kind == _MERGE:
            return lambda document: merge_patch(document, data)
        return lambda document: strategic_merge(document, data, self._plan)

    async def _apply(
        self, request: Request, info: RequestInfo, options: WriteOptions, warnings: list[str]
    ) -> tuple[int, bytes]:
        try:
            if request.body[:1] == b"{":
                nesting.check_json(request.body)
                applied = codec.decode_any(request.body)
            else:
                nesting.check_yaml(request.body)
                applied = yaml.load(request.body, Loader=YAML_LOADER)
        except (yaml.YAMLError, msgspec.DecodeError) as error:
            raise errors.bad_request(f"error decoding YAML: {error}") from error
        if not isinstance(applied, dict):
            raise errors.bad_request("error decoding YAML: json: cannot unmarshal into Go value of type map")
        if options.field_validation != "Ignore" and (twice := strict.inspect_yaml(request.body)):
            twice = f"error converting YAML to JSON: {twice}"
            if options.field_validation == "Strict":
                raise errors.bad_request(f"error strict decoding YAML: {twice}")
            warnings.append(twice)
        self._check_applied(applied, info)
        resource, now = self.resource, self._context.times.now()

        def merged(live: dict[str, Any] | None) -> dict[str, Any]:
            return server_side_apply(
                live,
                applied,
                manager=options.field_manager,
                now=now,
                force=bool(options.force),
                subresource=info.subresource,
                known=None if self._custom is None else self._custom.known(info.subresource),
                api_version=self._wire.api_version,
                kind=self._wire.kind,
            )

        key = f"{info.namespace}/{info.name}" if resource.namespaced else info.name
        if key not in self.cache.objects and not info.subresource:
            if applied.get("metadata", {}).get("uid"):
                raise errors.conflict(resource.qualified, info.name)
            obj = self._decode(merged(None), info, options, warnings)
            created = await self._creator.create_object(obj, info, options, request.user, warnings, applied=True)
            return 201, created

        def change(stored: Stored) -> Changed:
            live = self._document(stored)
            return self._changed(merged(live), stored, info, options, warnings, managed=True)

        return 200, await self._updater.change(info, change, options, request.user, warnings)

    def _changed(
        self,
        data: dict[str, Any],
        stored: Stored,
        info: RequestInfo,
        options: WriteOptions,
        warnings: list[str],
        *,
        managed: bool = False,
    ) -> Changed:
        obj = self._decode(data, info, options, warnings)
        revision = obj.metadata.resource_version
        if revision and revision != str(stored.revision):
            raise errors.conflict(self.resource.qualified, info.name)
        if obj.metadata.uid and obj.metadata.uid != stored.obj.metadata.uid:
            wrong = field_errors.invalid("metadata.uid", obj.metadata.uid, "field is immutable")
            raise errors.invalid(qualified_kind(self.resource), info.name, [wrong])
        defaulting.default(obj)
        return Changed(obj, managed=managed)

    def _decode(self, data: dict[str, Any], info: RequestInfo, options: WriteOptions, warnings: list[str]) -> Any:
        """The patched document as an object. Raises ApiError: of another name, namespace or shape."""
        resource, struct = self.resource, self._wire.struct
        _check_same(data, info, resource)
        data["kind"], data["apiVersion"] = self._wire.kind, self._wire.api_version
        try:
            obj = codec.from_dict(struct, data)
        except (msgspec.ValidationError, ValueError) as error:
            raise self._misfit(data, info, error) from error
        encoded = codec.encode_any(data)
        nesting.check_json(encoded)  # a patch may put what is stored into itself
        if problem := go_types.range_error(struct, encoded) or times.settle(obj) or type_problem(obj):
            raise _unfit(data, problem)
        zeros.drop(obj, encoded)
        if options.field_validation != "Ignore":
            unknown = strict.inspect(struct, encoded).unknown
            if unknown and options.field_validation == "Strict":
                raise _unfit(data, f"strict decoding error: {', '.join(unknown)}")
            warnings += unknown
        obj = obj if self._view is None else self._view.kept(obj)
        if self._custom is not None:
            self._custom.read(obj, options.field_validation, warnings)
        return obj

    def _document(self, stored: Stored) -> dict[str, Any]:
        """What is patched: the object as this endpoint shows it."""
        value = stored.value if self._view is None else self._view.shown(stored.value)
        document: dict[str, Any] = codec.decode_any(value)
        return document

    def _misfit(self, data: dict[str, Any], info: RequestInfo, error: Exception) -> errors.ApiError:
        reason = go_types.type_error(self._wire.struct, data) or str(error)
        return _unfit(data, reason)

    def _check_applied(self, applied: dict[str, Any], info: RequestInfo) -> None:
        for field, kind in (("metadata", dict), ("apiVersion", str), ("kind", str)):
            if applied.get(field) is None:
                applied.pop(field, None)
            elif not isinstance(applied[field], kind):
                raise errors.bad_request(f"error decoding YAML: {field} is of a wrong type")
        name = applied.get("metadata", {}).get("name")
        if name is not None and name != info.name:
            text = f"the name of the object ({name}) does not match the name on the URL ({info.name})"
            raise errors.bad_request(text)


def _unfit(data: dict[str, Any], reason: str) -> errors.ApiError:
    """The refusal of a patched document; upstream names neither kind nor object in it."""
    return errors.invalid("", "", [field_errors.invalid("patch", _shown(data), reason)])


def _check_same(data: dict[str, Any], info: RequestInfo, resource: Resource) -> None:
    meta = data.get("metadata")
    if not isinstance(meta, dict):
        meta = data["metadata"] = {}
    name = meta.setdefault("name", info.name)
    if name != info.name:
        text = f"the name of the object ({name}) does not match the name on the URL ({info.name})"
        raise errors.bad_request(text)
    if resource.namespaced and meta.setdefault("namespace", info.namespace) != info.namespace:
        raise errors.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )


def _check_options(options: WriteOptions, kind: bytes) -> None:
    wrong = []
    if kind == _APPLY and not options.named_manager:
        wrong.append(field_errors.required("fieldManager", "is required for apply patch"))
    if kind != _APPLY and options.force is not None:
        wrong.append(field_errors.forbidden("force", "may not be specified for non-apply patch"))
    if wrong:
        raise errors.invalid(_OPTIONS, "", wrong)


def unsupported_patch() -> errors.ApiError:
    """415 for a patch in no known language."""
    text = "415: Unsupported Media Type"
    return errors.ApiError(
        Status(status="Failure", code=415, reason="UnsupportedMediaType", message=text, details=StatusDetails())
    )


def _shown(data: dict[str, Any]) -> str:
    return codec.encode_any(data).decode()
