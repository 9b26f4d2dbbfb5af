"""Objects and lists in the form a client accepts: as stored, as YAML, as a Table, as metadata only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

import msgspec

from tiphys.api import codec, errors, field_errors
from tiphys.api.scheme import Resource, by_gvk
from tiphys.apiserver import protobuf, tables
from tiphys.apiserver.dressing import to_yaml
from tiphys.apiserver.negotiation import METADATA, PROTOBUF, TABLE, YAML, Representation
from tiphys.apiserver.tables import render_list, render_object
from tiphys.base.http.messages import Query, Response

Body = bytes | memoryview
"""An item of a list: an object's JSON without its kind, apiVersion and opening brace."""


class _MetadataOnly(msgspec.Struct, gc=False):
    metadata: msgspec.Raw


_OBJECTS_A_PART: Final = 500
_metadata: Final = msgspec.json.Decoder(_MetadataOnly)


def object_response(
    resource: Resource, full: bytes, representation: Representation, query: Query, status: int = 200
) -> Response:
    """An answer with one object, given its stored JSON. Raises ApiError 406 if a list of metadata was asked for."""
    if representation.form == TABLE:
        full = render_object(resource, full, included(query), representation.version)
    elif representation.form == METADATA:
        if representation.listed:
            text = "you requested PartialObjectMetadataList, but the requested object is not a list"
            raise errors.not_acceptable(f"{text} ({_go_type(resource)})")
        full = metadata_of(full, representation.version)
    return encoded(full, representation, status)


def list_response(
    resource: Resource, head: bytes, bodies: list[Body], representation: Representation, query: Query
) -> Response:
    """An answer with a list: `head` up to the items, cached bodies of the items. Raises ApiError 406 as above."""
    if representation.form == TABLE:
        data = render_list(resource, _list_metadata(head), bodies, included(query), representation.version)
    elif representation.form == METADATA:
        data = b"".join(_metadata_parts(resource, head, bodies, representation))
    else:
        data = joined(head, bodies)
    return encoded(data, representation)


def list_parts(
    resource: Resource, head: bytes, bodies: Iterable[Body], representation: Representation, query: Query
) -> Iterator[bytes]:
    """The JSON text of `list_response`, for Tables and metadata, in parts. Raises ApiError 406 at once."""
    if representation.form == TABLE:
        return tables.list_parts(resource, _list_metadata(head), bodies, included(query), representation.version)
    return _metadata_parts(resource, head, bodies, representation)


def _metadata_parts(
    resource: Resource, head: bytes, bodies: Iterable[Body], representation: Representation
) -> Iterator[bytes]:
    if not representation.listed:
        text = "you requested PartialObjectMetadata, but the requested object is a list"
        raise errors.not_acceptable(f"{text} ({_go_type(resource)}List)")
    version = representation.version

    def parts() -> Iterator[bytes]:
        listed = codec.encode_any(_list_metadata(head))
        yield b'{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/%b","metadata":%b,"items":[' % (
            version.encode(), listed
        )  # fmt: skip
        rest, joint = iter(bodies), b""
        while part := list(islice(rest, _OBJECTS_A_PART)):
            yield joint + b",".join([metadata_of(b"{" + body, version) for body in part])
            joint = b","
        yield b"]}"

    return parts()


def included(query: Query) -> str:
    """What of its object goes with a Table's row. Raises ApiError 400 if the query asks for what there is not."""
    include = query.get("includeObject")
    if include in _INCLUDES:
        return include or METADATA_ONLY
    wrong = field_errors.invalid("includeObject", include, "must be 'Metadata', 'Object', 'None', or empty")
    raise errors.bad_request(f"Unable to convert to Table as requested: {wrong}")


def _go_type(resource: Resource) -> str:
    """How upstream's messages call the kind."""
    if by_gvk(resource.group, resource.version, resource.kind) is None:
        return "*unstructured.Unstructured"
    package = "core" if resource.group in ("", "events.k8s.io") else resource.group.partition(".")[0]
    return f"*{package}.{resource.kind}"


_INCLUDES: Final = ("", "Metadata", "None", "Object")
METADATA_ONLY: Final = "Metadata"


def joined(head: bytes, bodies: list[Body]) -> bytes:
    """A list's JSON: `head` up to the items, then the items. `bodies` is used up; their bytes are copied once."""
    if not bodies:
        return head + b"]}"
    bodies[0] = head + b"{" + bodies[0]
    bodies[-1] = bytes(bodies[-1]) + b"]}"
    return b",{".join(bodies)


def shown_body(full: bytes) -> bytes:
    """A whole object's JSON as lists carry it: without kind, apiVersion and the opening brace."""
    return full[full.index(b'"metadata":') :]


def metadata_of(full: bytes, version: str = "v1") -> bytes:
    """An object's JSON as a PartialObjectMetadata."""
    head = f'{{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/{version}","metadata":'.encode()
    return head + bytes(_metadata.decode(full).metadata) + b"}"


def encoded(data: bytes, representation: Representation, status: int = 200) -> Response:
    """JSON text as an answer of the accepted media type. Raises ApiError 406 for what protobuf is not known of."""
    if representation.media_type == PROTOBUF:
        return Response(status, protobuf.encode(data), PROTOBUF)
    if representation.media_type == YAML:
        return Response(status, to_yaml(codec.decode_any(data)), YAML)
    return Response(status, data)


def _list_metadata(head: bytes) -> dict[str, Any]:
    metadata: dict[str, Any] = codec.decode_any(head + b"]}")["metadata"]
    return metadata
