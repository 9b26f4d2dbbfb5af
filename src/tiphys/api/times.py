"""Times of API objects: checked and brought to the form the API stores, which typed decoding leaves alone.

Times are RFC 3339 texts: ``2026-01-02T03:04:05Z`` (Time), or with six digits of fraction (MicroTime); UTC always.
"""

from __future__ import annotations

import re
import typing
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Any, Final, NamedTuple

import msgspec

from tiphys.api.facts import definitions

TIME_LAYOUT: Final = "2006-01-02T15:04:05Z07:00"
MICRO_TIME_LAYOUT: Final = "2006-01-02T15:04:05.000000Z07:00"
_match: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII).fullmatch
_PARTS: Final = (
    (r"\d{4}", "2006"),
    ("-", "-"),
    (r"\d\d", "01"),
    ("-", "-"),
    (r"\d\d", "02"),
    ("T", "T"),
    (r"\d\d", "15"),
    (":", ":"),
    (r"\d\d", "04"),
    (":", ":"),
    (r"\d\d(\.\d+)?", "05"),
    (r"(Z|[+-]\d\d:\d\d)", "Z07:00"),
)
_DEFINITIONS: Final = {
    "meta": "io.k8s.apimachinery.pkg.apis.meta",
    "apiextensions": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions",
    "apiregistration": "io.k8s.kube-aggregator.pkg.apis.apiregistration",
}


class _Step(NamedTuple):
    """One attribute on the way to times. `below` is empty where the attribute is a time (or a map of times)."""

    attribute: str
    micro: bool
    below: tuple[_Step, ...]


def settle(obj: msgspec.Struct) -> str:
    """Bring every time in `obj`, in place, to its stored form; what is wrong with the first that is none, or ""."""
    return _settle(obj, _plan(type(obj)))


@lru_cache(maxsize=4096)
def canonical(text: str, micro: bool) -> str | None:
    """The stored form of a time, None for the zero time; raises ValueError with Go's message."""
    if _match(text) is None:
        raise ValueError(_complaint(text, micro))
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        layout = MICRO_TIME_LAYOUT if micro else TIME_LAYOUT
        what = str(error).partition(" ")[0]
        raise ValueError(f'parsing time "{text}" as "{layout}": {what} out of range') from error
    if time.year == 1:
        return None
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ" if micro else "%Y-%m-%dT%H:%M:%SZ")


def _complaint(text: str, micro: bool) -> str:
    rest = text
    layout = MICRO_TIME_LAYOUT if micro else TIME_LAYOUT
    for pattern, part in _PARTS:
        match = re.match(pattern, rest, re.ASCII)
        if match is None:
            return f'parsing time "{text}" as "{layout}": cannot parse "{rest}" as "{part}"'
        rest = rest[match.end() :]
    return f'parsing time "{text}": extra text: "{rest}"'


def _settle(obj: Any, plan: tuple[_Step, ...]) -> str:
    for attribute, micro, below in plan:
        value = getattr(obj, attribute)
        if not value:
            if value == "":
                return _complaint("", micro)
            continue
        problem = ""
        if below:
            if isinstance(value, tuple):
                problem = next(filter(None, (_settle(item, below) for item in value)), "")
            else:
                problem = _settle(value, below)
        else:
            try:
                if isinstance(value, dict):
                    setattr(obj, attribute, {key: canonical(text, micro) for key, text in value.items()})
                else:
                    settled = canonical(value, micro)
                    if settled != value:
                        setattr(obj, attribute, settled)
            except ValueError as error:
                problem = str(error)
        if problem:
            return problem
    return ""


@cache
def _plan(kind: Any) -> tuple[_Step, ...]:
    steps: list[_Step] = []
    times = _times(kind)
    for field in msgspec.structs.fields(kind):
        if field.encode_name in times:
            steps.append(_Step(field.name, times[field.encode_name], ()))
            continue
        struct = _struct_in(field.type)
        below = _plan(struct) if struct is not None else ()
        if below:
            steps.append(_Step(field.name, False, below))
    return tuple(steps)


def _times(kind: type[msgspec.Struct]) -> dict[str, bool]:
    """The time fields of a struct by wire name, True for those with microseconds."""
    module, _, version = kind.__module__.rpartition(".")[2].rpartition("_")
    prefix = _DEFINITIONS.get(module, f"io.k8s.api.{module}")
    properties = definitions().get(f"{prefix}.{version}.{kind.__name__}", {}).get("properties", {})
    found: dict[str, bool] = {}
    for name, schema in properties.items():
        inner = schema.get("additionalProperties") or schema
        reference = inner.get("$ref", "") if isinstance(inner, dict) else ""
        if reference.endswith((".v1.Time", ".v1.MicroTime")):
            found[name] = reference.endswith("MicroTime")
    return found


def _struct_in(kind: Any) -> type[msgspec.Struct] | None:
    """The struct type inside ``X``, ``X | None`` or ``tuple[X, ...]``."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind
    for part in typing.get_args(kind):
        found = _struct_in(part)
        if found is not None and typing.get_origin(kind) is not dict:
            return found
    return None
