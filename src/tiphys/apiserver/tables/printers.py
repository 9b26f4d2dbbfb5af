"""Which table a resource has: its columns and how an object becomes a row's cells.

Columns are written ``Name:type/format*priority``, separated by bars; type string, no format and priority 0 go without
saying, and ``Name`` has the format ``name``. Priority 1 is shown by ``kubectl get -o wide`` only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

import msgspec

from tiphys.api import codec
from tiphys.api.scheme import Resource
from tiphys.api.types.apiextensions_v1 import CustomResourceColumnDefinition
from tiphys.apiserver.tables import cluster, core, custom, network, pods, storage, workloads

Cells = Callable[[Any, float], list[Any]]

_COLUMN: Final = re.compile(r"([^:/*]+)(?::(\w+))?(?:/(\w+))?(?:\*(\d))?")
_PRINTERS: Final[dict[tuple[str, str], tuple[str, Any]]] = {
    ("", "pods"): (pods.COLUMNS, pods.cells),
    **core.PRINTERS,
    **workloads.PRINTERS,
    **network.PRINTERS,
    **cluster.PRINTERS,
    **storage.PRINTERS,
}
_OTHERS: Final = "Name|Created At:date"


class Column(NamedTuple):
    """One column as clients are told of it."""

    name: str
    type: str
    format: str
    priority: int


class Printer(NamedTuple):
    """A resource's table. decode: an object's JSON to what `cells` reads. columns_json: its columnDefinitions."""

    columns: tuple[Column, ...]
    columns_json: bytes
    decode: Callable[[bytes], Any]
    cells: Cells
    conditions: Callable[[Any], list[dict[str, str]] | None] | None


_defined: Final[dict[tuple[str, str, str], Printer]] = {}


def define(resource: Resource, columns: Sequence[CustomResourceColumnDefinition]) -> None:
    """Print a custom resource with these columns from now on; with no columns, as any other."""
    key = (resource.group, resource.version, resource.plural)
    if not columns:
        _defined.pop(key, None)
        return
    shown = (
        Column("Name", "string", "name", 0),
        *(Column(c.name, c.type, c.format or "", c.priority or 0) for c in columns),
    )
    _defined[key] = Printer(shown, _columns_json(shown), custom.decode, custom.cells_of(columns), None)


def printer_of(resource: Resource) -> Printer:
    """The resource's own table, or name and time of creation."""
    found = _defined.get((resource.group, resource.version, resource.plural)) if _defined else None
    return _built_in(resource) if found is None else found


@cache
def _built_in(resource: Resource) -> Printer:
    group = resource.api_version if resource.group == "autoscaling" else resource.group
    text, cells = _PRINTERS.get((group, resource.plural), (_OTHERS, _created))
    columns = parse_columns(text)
    struct: type[Any] = resource.struct if cells is not _created else _Created
    conditions = pods.conditions if cells is pods.cells else None
    return Printer(columns, _columns_json(columns), lambda data: codec.decode(struct, data), cells, conditions)


class _CreatedMetadata(msgspec.Struct, gc=False, rename="camel"):
    name: str = ""
    creation_timestamp: str | None = None


class _Created(msgspec.Struct, gc=False):
    metadata: _CreatedMetadata


def _created(obj: _Created, now: float) -> list[Any]:
    return [obj.metadata.name, obj.metadata.creation_timestamp]


def parse_columns(text: str) -> tuple[Column, ...]:
    """Columns from their short form."""
    columns = []
    for part in text.split("|"):
        found = _COLUMN.fullmatch(part)
        assert found is not None, part
        name, kind, form, priority = found.groups()
        columns.append(Column(name, kind or "string", form or ("name" if name == "Name" else ""), int(priority or 0)))
    return tuple(columns)


def _columns_json(columns: tuple[Column, ...]) -> bytes:
    keys = ("name", "type", "format", "priority")
    return codec.encode_any([dict(zip(keys, column, strict=True)) | {"description": ""} for column in columns])
