"""From one version of a custom resource to another: by name alone, or by a webhook that is asked."""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn

import msgspec

from tiphys.api import codec, errors
from tiphys.api.types.apiextensions_v1 import CustomResourceDefinition, WebhookClientConfig
from tiphys.apiserver.webhooks.calling import Unreachable, WebhookCaller

_TIMEOUT_SECONDS: Final = 30.0
_REVIEW_VERSION: Final = "apiextensions.k8s.io/v1"
_KEPT_BYTES: Final = 16 << 20
_BATCH: Final = 500
_REVISION: Final = b'"resourceVersion":"'
_MARK: Final = "\x00revision\x00"
# What a webhook may change of metadata; the rest must come back as it went.
_FREE: Final = ("labels", "annotations")
_NO_CHANGE: Final = frozenset({"name", "namespace", "uid"})

Normalize = Callable[[dict[str, Any], str], None]
"""Prunes and completes plain data of a version, in place."""


class Converter:
    """Converts the objects of one definition. What a webhook answered is kept, by what was asked, up to 16 MiB."""

    def __init__(
        self, definition: CustomResourceDefinition, caller: WebhookCaller, normalize: Normalize, *, one_schema: bool
    ) -> None:
        spec = definition.spec
        conversion = spec.conversion
        self.kind = spec.names.kind
        self._by_webhook = conversion is not None and conversion.strategy == "Webhook"
        #: What is kept in a version may have been written through another one, which knows other fields.
        self._as_kept = one_schema or self._by_webhook
        self._group = spec.group
        self._client: WebhookClientConfig | None = None
        if conversion is not None and conversion.webhook is not None:
            self._client = conversion.webhook.client_config
        self._caller = caller
        self._normalize = normalize
        self._known: OrderedDict[tuple[str, bytes], bytes] = OrderedDict()
        self._known_bytes = 0

    def prefix(self, version: str) -> bytes:
        """What the JSON of every object of a version begins with."""
        return f'{{"kind":"{self.kind}","apiVersion":"{self._group}/{version}",'.encode()

    def ready(self, values: Sequence[bytes], version: str) -> list[bytes] | None:
        """The values in a version as far as nobody has to be asked, else None."""
        prefix = self.prefix(version)
        found: list[bytes] = []
        for value in values:
            if self._as_kept and value.startswith(prefix):
                found.append(value)
            elif (kept := self._known.get((version, value))) is not None:
                found.append(kept)
            elif self._by_webhook:
                return None
            else:
                found.append(self._renamed(value, version))
        return found

    async def convert(self, values: Sequence[bytes], version: str) -> list[bytes]:
        """The values in a version. Raises ApiError in upstream's words if the webhook fails."""
        if (ready := self.ready(values, version)) is not None:
            return ready
        prefix = self.prefix(version)
        unknown = [v for v in dict.fromkeys(values) if not v.startswith(prefix) and (version, v) not in self._known]
        converted: dict[bytes, bytes] = {}
        for start in range(0, len(unknown), _BATCH):
            batch = unknown[start : start + _BATCH]
            converted.update(zip(batch, await self._asked(batch, version), strict=True))
        result = [
            value if value.startswith(prefix) else converted.get(value) or self._known[version, value]
            for value in values
        ]
        for value, made in converted.items():
            self._keep(version, value, made)
        return result

    async def parts(self, head: bytes, tail: bytes, version: str) -> tuple[bytes, bytes]:
        """An object's JSON around its resourceVersion, in a version. Raises ApiError as `convert`."""
        if head.startswith(self.prefix(version)):
            return head, tail
        data = codec.decode_any(head + tail)
        if self._by_webhook:
            (data,) = await self._ask([data], version)
            self._normalize(data, version)
        data["metadata"]["resourceVersion"] = _MARK
        encoded = self._encoded(data, version)
        at = encoded.index(_REVISION) + len(_REVISION)
        return encoded[:at], encoded[encoded.index(b'"', at) :]

    def _renamed(self, value: bytes, version: str) -> bytes:
        data = codec.decode_any(value)
        self._normalize(data, version)
        made = self._encoded(data, version)
        self._keep(version, value, made)
        return made

    async def _asked(self, values: Sequence[bytes], version: str) -> list[bytes]:
        answers = await self._ask([codec.decode_any(value) for value in values], version)
        for answer in answers:
            self._normalize(answer, version)
        return [self._encoded(answer, version) for answer in answers]

    def _encoded(self, data: dict[str, Any], version: str) -> bytes:
        """As all objects are kept: kind, apiVersion, metadata beginning with what identifies the object."""
        meta = data["metadata"]
        first = ("name", "generateName", "namespace", "uid", "resourceVersion")
        ordered = {name: meta[name] for name in first if name in meta} | meta
        rest = {name: value for name, value in data.items() if name not in ("kind", "apiVersion", "metadata")}
        api_version = f"{self._group}/{version}"
        return codec.encode_any({"kind": self.kind, "apiVersion": api_version, "metadata": ordered, **rest})

    async def _ask(self, objects: list[dict[str, Any]], version: str) -> list[dict[str, Any]]:
        """One ConversionReview: all objects at once. Raises ApiError."""
        wanted, request_uid = f"{self._group}/{version}", str(uuid.uuid4())
        question = {
            "kind": "ConversionReview",
            "apiVersion": _REVIEW_VERSION,
            "request": {"uid": request_uid, "desiredAPIVersion": wanted, "objects": objects},
            "response": None,
        }
        assert self._client is not None, "validation sees to it"
        try:
            answer = await self._caller.ask(self._client, codec.encode_any(question), _TIMEOUT_SECONDS)
            converted = _answered(answer, request_uid)
        except Unreachable as error:
            self._failed(objects, f"failed: {error}")
        if len(converted) != len(objects):
            text = f"returned {len(converted)} objects, expected {len(objects)}"
            self._failed(objects, text)
        for index, (before, after) in enumerate(zip(objects, converted, strict=True)):
            if wrong := _wrong(before, after, wanted):
                self._failed(objects, f"returned invalid converted object at index {index}: {wrong}")
        return converted

    def _failed(self, objects: list[dict[str, Any]], text: str) -> NoReturn:
        raise errors.unclassified(f"conversion webhook for {objects[0].get('apiVersion')}, Kind={self.kind} {text}")

    def _keep(self, version: str, value: bytes, made: bytes) -> None:
        if (version, value) in self._known:
            # Asked twice at once: it is counted once.
            return
        self._known[version, value] = made
        self._known_bytes += len(value) + len(made)
        while self._known_bytes > _KEPT_BYTES:
            (_, old), gone = self._known.popitem(last=False)
            self._known_bytes -= len(old) + len(gone)


class ServedVersion:
    """One version of a definition's objects, which are kept in `stored`: the registry's `Versions`."""

    def __init__(self, converter: Converter, version: str, stored: str) -> None:
        self._converter = converter
        self._version = version
        self._stored = stored

    def ready(self, values: Sequence[bytes]) -> list[bytes] | None:
        return self._converter.ready(values, self._version)

    async def shown(self, values: Sequence[bytes]) -> list[bytes]:
        return await self._converter.convert(values, self._version)

    async def parts(self, head: bytes, tail: bytes) -> tuple[bytes, bytes]:
        return await self._converter.parts(head, tail, self._stored)


def _answered(answer: bytes, request_uid: str) -> list[dict[str, Any]]:
    """The objects of a ConversionReview's response. Raises Unreachable."""
    try:
        review = codec.decode_any(answer)
    except msgspec.DecodeError as error:
        raise Unreachable(f"the answer is not JSON: {error}") from error
    if not isinstance(review, dict) or review.get("kind") != "ConversionReview":
        raise Unreachable("the answer is not a ConversionReview")
    if review.get("apiVersion") != _REVIEW_VERSION:
        found = review.get("apiVersion")
        raise Unreachable(f"the answer is a ConversionReview of {found}, expected {_REVIEW_VERSION}")
    response = review.get("response")
    if not isinstance(response, dict):
        raise Unreachable("no response provided")
    if response.get("uid") != request_uid:
        raise Unreachable(f'expected response.uid="{request_uid}", got "{response.get("uid", "")}"')
    result = response.get("result") or {}
    if result.get("status") != "Success":
        raise Unreachable(str(result.get("message") or "the webhook says that it failed"))
    converted = response.get("convertedObjects") or []
    if not isinstance(converted, list) or not all(isinstance(one, dict) for one in converted):
        raise Unreachable("convertedObjects is not a list of objects")
    return converted


def _wrong(before: dict[str, Any], after: dict[str, Any], wanted: str) -> str:
    """What a converted object must not be; gives it back the metadata that is not the webhook's to change."""
    if after.get("apiVersion") != wanted:
        return f"invalid groupVersion: expected {wanted}, got {after.get('apiVersion')}"
    if after.get("kind") != before.get("kind"):
        return f"invalid kind: expected {before.get('kind')}, got {after.get('kind')}"
    old, new = before.get("metadata") or {}, after.get("metadata")
    if not isinstance(new, dict):
        return f"invalid metadata of type {type(new).__name__} in input object"
    for name in sorted(_NO_CHANGE):
        if new.get(name, "") != old.get(name, ""):
            return f"metadata.{name} was mutated: {new.get(name, '')}"
    for name in _FREE:
        given = new.get(name)
        if given is not None and not (
            isinstance(given, dict) and all(isinstance(value, str) for value in given.values())
        ):
            return f"metadata.{name} is not a map of strings"
    after["metadata"] = {k: v for k, v in old.items() if k not in _FREE} | {k: new[k] for k in _FREE if new.get(k)}
    return ""
