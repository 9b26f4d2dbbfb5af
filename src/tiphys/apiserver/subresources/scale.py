"""scale: the replica count of workloads, as one small object for all of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import msgspec

from tiphys.api import codec, errors, field_errors
from tiphys.api.patch import json_patch, merge_patch, of_definition, strategic_merge
from tiphys.api.scheme import Resource
from tiphys.api.selectors import from_label_selector, from_labels
from tiphys.api.types.autoscaling_v1 import Scale, ScaleSpec, ScaleStatus
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.apiserver.negotiation import negotiate
from tiphys.apiserver.registry import nesting
from tiphys.apiserver.registry.bodies import decode_body
from tiphys.apiserver.registry.endpoint import Endpoint, warning_headers
from tiphys.apiserver.registry.options import write_options
from tiphys.apiserver.registry.patching import unsupported_patch
from tiphys.apiserver.registry.representation import object_response
from tiphys.apiserver.registry.updating import Changed, Stored, check_identity
from tiphys.apiserver.routing import RequestInfo
from tiphys.base.http.messages import Request, Response

_PLAN: Final = of_definition("io.k8s.api.autoscaling.v1.Scale")


def _strategic(document: dict[str, Any], patch: Any) -> dict[str, Any]:
    return strategic_merge(document, patch, _PLAN)


_PATCHES: Final = {
    b"application/json-patch+json": json_patch,
    b"application/merge-patch+json": merge_patch,
    b"application/strategic-merge-patch+json": _strategic,
}
_KIND: Final = "Scale.autoscaling"
_SCALES: Final = Resource("autoscaling", "v1", "Scale", "scales", True, (), (), (), ())


class Scaled(Protocol):
    """Where a kind has what a Scale tells."""

    def read(self, obj: Any) -> Scale:
        """The object's Scale. Raises ApiError if it has none."""
        ...

    def write(self, obj: Any, replicas: int) -> None:
        """Ask for so many, in place."""
        ...


class ScaleSubresource:
    """For everything that has replicas; `scaled` says where, Deployments' way if it is left out."""

    def __init__(self, endpoint: Endpoint, scaled: Scaled | None = None) -> None:
        self._endpoint = endpoint
        self._scaled: Scaled = scaled or _BuiltIn()

    def serve(self, request: Request, info: RequestInfo) -> Response | Awaitable[Response]:
        """get, update or patch."""
        if info.verb == "get":
            stored = self._endpoint.updater.read(info)
            return self._answer(request, self._scaled.read(stored.obj), [])
        if info.verb == "update":
            return self._update(request, info)
        if info.verb == "patch":
            return self._patch(request, info)
        raise errors.method_not_allowed()

    async def _update(self, request: Request, info: RequestInfo) -> Response:
        options = write_options(request, "UpdateOptions")
        warnings: list[str] = []
        scale = decode_body(request, Scale, "autoscaling/v1", "Scale", options.field_validation, warnings)
        if scale.metadata.name and scale.metadata.name != info.name:
            text = f"the name of the object ({scale.metadata.name}) does not match the name on the URL ({info.name})"
            raise errors.bad_request(text)
        return await self._store(request, info, lambda _: scale, warnings)

    async def _patch(self, request: Request, info: RequestInfo) -> Response:
        kind = request.headers.get(b"content-type").partition(b";")[0].strip().lower()
        apply = _PATCHES.get(kind)
        if apply is None:
            raise unsupported_patch()
        nesting.check_json(request.body)
        try:
            patch = codec.decode_any(request.body)
        except msgspec.DecodeError as error:
            raise errors.bad_request(f"error decoding patch: {error}") from error

        def patched(stored: Stored) -> Scale:
            document = apply(codec.to_dict(self._scaled.read(stored.obj)), patch)
            try:
                return codec.from_dict(Scale, document)
            except msgspec.ValidationError as error:
                raise errors.bad_request(str(error)) from error

        return await self._store(request, info, patched, [])

    async def _store(
        self, request: Request, info: RequestInfo, make: Callable[[Stored], Scale], warnings: list[str]
    ) -> Response:
        options = write_options(request, "PatchOptions" if info.verb == "patch" else "UpdateOptions")
        endpoint = self._endpoint

        def change(stored: Stored) -> Changed:
            scale = make(stored)
            replicas = scale.spec.replicas or 0
            if replicas < 0:
                wrong = field_errors.invalid("spec.replicas", replicas, "must be greater than or equal to 0")
                raise errors.invalid(_KIND, info.name, [wrong])
            check_identity(endpoint.resource, info, scale.metadata, stored.obj.metadata)
            wanted = scale.metadata.resource_version
            if wanted and wanted != str(stored.revision):
                raise errors.conflict(endpoint.resource.qualified, info.name)
            obj: Any = codec.decode(endpoint.resource.struct, stored.value)
            self._scaled.write(obj, replicas)
            return Changed(obj, conditional=bool(wanted) and info.verb == "update")

        value = await endpoint.updater.change(info, change, options, request.user, warnings)
        return self._answer(request, self._scaled.read(codec.decode(endpoint.resource.struct, value)), warnings)

    def _answer(self, request: Request, scale: Scale, warnings: list[str]) -> Response:
        representation = negotiate(request.headers.get(b"accept"))
        response = object_response(_SCALES, codec.encode(scale), representation, request.query)
        response.headers += warning_headers(warnings)
        return response


class _BuiltIn:
    """Deployments, ReplicaSets, StatefulSets and ReplicationControllers."""

    def read(self, obj: Any) -> Scale:
        return scale_of(obj)

    def write(self, obj: Any, replicas: int) -> None:
        obj.spec.replicas = replicas


def scale_of(obj: Any) -> Scale:
    """The Scale of a workload."""
    selector = obj.spec.selector
    parsed = from_labels(selector) if isinstance(selector, dict) else from_label_selector(selector)
    return made(obj.metadata, obj.spec.replicas or 0, obj.status.replicas or 0, str(parsed))


def made(meta: ObjectMeta, wanted: int, there: int, selector: str) -> Scale:
    """The Scale of an object with that metadata."""
    return Scale(
        metadata=ObjectMeta(
            name=meta.name,
            namespace=meta.namespace,
            uid=meta.uid,
            resource_version=meta.resource_version,
            creation_timestamp=meta.creation_timestamp,
        ),
        spec=ScaleSpec(replicas=wanted or None),
        status=ScaleStatus(replicas=there, selector=selector or None),
    )
