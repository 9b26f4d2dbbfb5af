"""Tables: objects as rows of cells, for `kubectl get`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final

import msgspec

from tiphys.api import codec
from tiphys.api.scheme import Resource
from tiphys.apiserver.tables.printers import Printer, printer_of


class _Whole(msgspec.Struct, gc=False):
    metadata: msgspec.Raw


class _Listed(msgspec.Struct, gc=False, rename="camel"):
    resource_version: str | None = None


class _Versioned(msgspec.Struct, gc=False):
    metadata: _Listed


_ROWS_A_PART: Final = 100
_whole: Final = msgspec.json.Decoder(_Whole)
_versioned: Final = msgspec.json.Decoder(_Versioned)


def render_object(
    resource: Resource,
    full: bytes,
    include: str = "Metadata",
    version: str = "v1",
    *,
    with_columns: bool = True,
    now: float | None = None,
) -> bytes:
    """One object (its whole JSON) as a Table of one row.

    include: what of the object goes with the row: ``Metadata``, ``None`` or ``Object``.
    now: epoch seconds, from which ages are counted.
    """
    metadata = {"resourceVersion": _versioned.decode(full).metadata.resource_version or ""}
    return _table(resource, metadata, (full,), include, version, with_columns, now)


def render_list(
    resource: Resource,
    metadata: Mapping[str, Any],
    bodies: Iterable[bytes | memoryview],
    include: str = "Metadata",
    version: str = "v1",
    *,
    now: float | None = None,
) -> bytes:
    """A list as a Table. `bodies` are the objects' JSON without the opening brace and without kind and apiVersion."""
    head = f'{{"kind":"{resource.kind}","apiVersion":"{resource.api_version}",'.encode()
    items = [head + body for body in bodies] if include == "Object" else [b"{" + body for body in bodies]
    return _table(resource, metadata, items, include, version, True, now)


def list_parts(
    resource: Resource,
    metadata: Mapping[str, Any],
    bodies: Iterable[bytes | memoryview],
    include: str = "Metadata",
    version: str = "v1",
    *,
    now: float | None = None,
) -> Iterator[bytes]:
    """What `render_list` returns, in parts of some rows."""
    start = (
        f'{{"kind":"{resource.kind}","apiVersion":"{resource.api_version}",'.encode() if include == "Object" else b"{"
    )
    row, moment = _Row(printer_of(resource), include, version), time.time() if now is None else now
    yield _table(resource, metadata, (), include, version, True, now)[: -len(b"]}")]
    bodies, joint = iter(bodies), b""
    while part := list(islice(bodies, _ROWS_A_PART)):
        yield joint + b",".join([row.render(start + body, moment) for body in part])
        joint = b","
    yield b"]}"


def render_event(
    resource: Resource,
    full: bytes,
    include: str = "Metadata",
    version: str = "v1",
    *,
    with_columns: bool = True,
    now: float | None = None,
) -> bytes:
    """A watch event's object as a Table; only a watch's first needs the columns."""
    return render_object(resource, full, include, version, with_columns=with_columns, now=now)


def _table(
    resource: Resource,
    metadata: Mapping[str, Any],
    items: Iterable[bytes],
    include: str,
    version: str,
    with_columns: bool,
    now: float | None,
) -> bytes:
    printer = printer_of(resource)
    moment = time.time() if now is None else now
    row = _Row(printer, include, version)
    rows = b",".join([row.render(full, moment) for full in items])
    return b'{"kind":"Table","apiVersion":"meta.k8s.io/%b","metadata":%b,"columnDefinitions":%b,"rows":[%b]}' % (
        version.encode(),
        codec.encode_any(dict(metadata)),
        printer.columns_json if with_columns else b"null",
        rows,
    )


class _Row:
    """Renders rows of one table."""

    __slots__ = ("_head", "_include", "_printer")

    def __init__(self, printer: Printer, include: str, version: str) -> None:
        self._printer = printer
        self._include = include
        self._head = b'{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/%b","metadata":' % version.encode()

    def render(self, full: bytes, now: float) -> bytes:
        obj = self._printer.decode(full)
        cells = codec.encode_any(self._printer.cells(obj, now))
        if self._include == "Object":
            shown = full
        elif self._include == "None":
            shown = b"null"
        else:
            shown = self._head + bytes(_whole.decode(full).metadata) + b"}"
        found = self._printer.conditions(obj) if self._printer.conditions is not None else None
        if found is None:
            return b'{"cells":%b,"object":%b}' % (cells, shown)
        return b'{"cells":%b,"conditions":%b,"object":%b}' % (cells, codec.encode_any(found), shown)
