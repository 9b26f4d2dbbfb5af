"""Request bodies: from bytes of an accepted media type to an object of the expected kind, or upstream's refusal."""

from __future__ import annotations

import binascii
import re
import string
from typing import Any, ClassVar, Final

import msgspec
import yaml

from tiphys.api import codec, errors, go_types, strict, times, zeros
from tiphys.api.scheme import RESOURCES, Resource
from tiphys.apiserver import protobuf
from tiphys.apiserver.customresources.schema_types import type_problem
from tiphys.apiserver.registry import nesting
from tiphys.apiserver.registry.custom import Custom
from tiphys.base.http.messages import Request

_JSON_TYPES: Final = frozenset({b"", b"application/json"})
_YAML: Final = b"application/yaml"
_ACCEPTED: Final = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf")
_SCHEME: Final = '"pkg/api/legacyscheme/scheme.go:30"'
_BASE64_FIELDS: Final = {"Secret": ("data",), "ConfigMap": ("binary_data",)}
_BASE64_LETTERS: Final = frozenset(string.ascii_letters + string.digits + "+/=\r\n")
_KNOWN_KINDS: Final = frozenset((r.api_version, r.kind) for r in RESOURCES)


class _TypeMeta(msgspec.Struct, rename="camel", gc=False):
    kind: str = ""
    api_version: str = ""


_type_meta: Final = msgspec.json.Decoder(_TypeMeta)


def json_body(request: Request, kind: str, struct: type[Any]) -> bytes:
    """The body as JSON text. Raises ApiError 415 or 400; `kind` is named in the latter."""
    content_type = request.headers.get(b"content-type")
    if content_type not in _JSON_TYPES:
        content_type = content_type.partition(b";")[0].strip().lower()
        if content_type == _YAML:
            return _yaml_as_json(request.body, kind)
        if content_type == protobuf.MEDIA_TYPE and protobuf.knows(struct):
            return _protobuf_as_json(request.body, struct)
        if content_type not in _JSON_TYPES:
            raise errors.unsupported_media_type(_ACCEPTED)
    nesting.check_json(request.body)
    return request.body


def parse_body(request: Request, kind: str, struct: type[Any]) -> dict[str, Any]:
    """The body as plain data: an object. Raises ApiError."""
    body = json_body(request, kind, struct)
    try:
        data = codec.decode_any(body)
    except msgspec.DecodeError as error:
        raise _unrecognized(body, kind) from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise _unrecognized(body, kind)
    return data


def decode_body(
    request: Request, struct: type[Any], api_version: str, kind: str, validation: str, warnings: list[str]
) -> Any:
    """The body as a `struct`, which nobody shares yet. Unknown fields are dropped, reported or refused, as asked.

    Raises ApiError: what is no JSON, of another kind or of wrong types.
    """
    body = json_body(request, kind, struct)
    repeated: tuple[str, ...] = ()
    if body is not request.body and validation != "Ignore" and (text := strict.inspect_yaml(request.body)):
        repeated = (text,)
    return decode_json(body, struct, api_version, kind, validation, warnings, repeated)


def decode_custom(request: Request, resource: Resource, custom: Custom, validation: str, warnings: list[str]) -> Any:
    """As `decode_body`, for a custom resource: what its schema does not know is told together with all else."""
    found: list[str] = []
    lenient = "Warn" if validation == "Strict" else validation
    obj = decode_body(request, resource.struct, resource.api_version, resource.kind, lenient, found)
    custom.read(obj, validation, warnings, found)
    return obj


def decode_json(
    body: bytes,
    struct: type[Any],
    api_version: str,
    kind: str,
    validation: str,
    warnings: list[str],
    repeated: tuple[str, ...] = (),
) -> Any:
    """As `decode_body`, for JSON text. `repeated` is what the body repeated before it became JSON."""
    try:
        obj = codec.decode(struct, body)
    except (msgspec.ValidationError, ValueError) as error:
        obj = _decode_anyhow(body, struct, api_version, kind, error)
    if (fields := _BASE64_FIELDS.get(kind)) is not None:
        _check_base64(obj, fields, kind, api_version)
    if obj.kind != kind or obj.api_version != api_version:
        _check_kind(obj.kind or kind, obj.api_version or api_version, kind, api_version)
        obj.kind, obj.api_version = kind, api_version
    if problem := go_types.range_error(struct, body) or times.settle(obj) or type_problem(obj):
        raise _cannot_handle(kind, api_version, problem)
    zeros.drop(obj, body)
    if validation != "Ignore":
        found = repeated + strict.inspect(struct, body).all
        if found and validation == "Strict":
            raise _cannot_handle(kind, api_version, f"strict decoding error: {', '.join(found)}")
        warnings += found
    return obj


def _check_base64(obj: Any, fields: tuple[str, ...], kind: str, api_version: str) -> None:
    for field in fields:
        for text in getattr(obj, field).values():
            try:
                binascii.a2b_base64(text, strict_mode=True)
            except ValueError:
                at = next((i for i, c in enumerate(text) if c not in _BASE64_LETTERS), len(text) & ~3)
                raise _cannot_handle(kind, api_version, f"illegal base64 data at input byte {at}") from None


def check_plain_kind(data: dict[str, Any], resource: Resource) -> None:
    """Refuse plain data of another kind than the resource's; fills in what is missing."""
    kind = data.setdefault("kind", resource.kind)
    api_version = data.setdefault("apiVersion", resource.api_version)
    if (kind, api_version) != (resource.kind, resource.api_version):
        _check_kind(kind or resource.kind, api_version or resource.api_version, resource.kind, resource.api_version)


def _decode_anyhow(body: bytes, struct: type[Any], api_version: str, kind: str, error: Exception) -> Any:
    """Refuse a body that does not decode with the reason upstream gives; `null` is an empty object."""
    try:
        data = msgspec.json.decode(body)
    except msgspec.DecodeError as malformed:
        raise _unrecognized(body, kind) from malformed
    if data is None:
        return struct()
    if not isinstance(data, dict):
        raise _unrecognized(body, kind) from error
    found_kind, found_version = data.get("kind") or kind, data.get("apiVersion") or api_version
    if isinstance(found_kind, str) and isinstance(found_version, str):
        _check_kind(found_kind, found_version, kind, api_version)
    reason = go_types.type_error(struct, data) or str(error)
    raise _cannot_handle(kind, api_version, reason) from error


def _check_kind(found_kind: str, found_version: str, kind: str, api_version: str) -> None:
    if (found_kind, found_version) == (kind, api_version):
        return
    if (api_version, kind) not in _KNOWN_KINDS:
        raise _not_custom(found_kind, found_version, kind, api_version)
    version = found_version.rpartition("/")[2]
    if (found_version, found_kind) in _KNOWN_KINDS:
        reason = f"converting ({version}.{found_kind}) to ({api_version.rpartition('/')[2]}.{kind}): unknown conversion"
        raise _cannot_handle(found_kind, found_version, reason, as_kind=kind)
    reason = f'no kind "{found_kind}" is registered for version "{found_version}" in scheme {_SCHEME}'
    raise _cannot_handle(found_kind, found_version, reason, as_kind=kind)


def _not_custom(found_kind: str, found_version: str, kind: str, api_version: str) -> errors.ApiError:
    """What is said of an object of another kind than a custom resource's."""
    if found_version != api_version:
        what, found, expected = "API version", found_version, api_version
    else:
        what, found, expected = "kind", found_kind, kind
    return errors.bad_request(f"the {what} in the data ({found}) does not match the expected {what} ({expected})")


def _cannot_handle(kind: str, api_version: str, reason: str, *, as_kind: str = "") -> errors.ApiError:
    version = api_version.rpartition("/")[2]
    return errors.bad_request(f'{kind} in version "{version}" cannot be handled as a {as_kind or kind}: {reason}')


def _unrecognized(body: bytes, kind: str) -> errors.ApiError:
    text = body.decode("utf-8", "replace")
    shown = text if body.startswith(b"{") else body.hex()
    head = f"the object provided is unrecognized (must be of type {kind}): couldn't get version/kind"
    return errors.bad_request(f"{head}; json parse error: {go_types.parse_error(body)} ({shown})")


def _protobuf_as_json(body: bytes, struct: type[Any]) -> bytes:
    try:
        text = codec.encode_any(protobuf.decode(struct, body))
    except protobuf.Malformed as error:
        raise errors.bad_request(f"the body of the request was in an unknown format: {error}") from error
    nesting.check_json(text)
    return text


def _yaml_as_json(body: bytes, kind: str) -> bytes:
    try:
        nesting.check_yaml(body)
        return codec.encode_any(yaml.load(body, Loader=YAML_LOADER))
    except (yaml.YAMLError, TypeError, ValueError) as error:
        raise errors.bad_request(f"error converting YAML to JSON: yaml: {error}") from error


class _Loader(yaml.CSafeLoader):
    """YAML as Kubernetes reads it: timestamps stay text, and a lone y or n is a boolean."""

    bool_values: ClassVar[dict[str, bool]] = {**yaml.CSafeLoader.bool_values, "y": True, "n": False}


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("[yYnN]$"), list("yYnN"))
YAML_LOADER: Final = _Loader
