"""Small objects for tables of cases: written as manifests are, defaulted and prepared as the server does."""

from __future__ import annotations

from typing import Any

from tiphys.api import codec, strategy
from tiphys.api.defaulting import default
from tiphys.api.validation import validate_create, validate_status_update, validate_update

NOW = "2026-01-01T00:00:00Z"


def build(kind: type[Any], manifest: dict[str, Any], *, name: str = "x", namespace: str | None = "ns") -> Any:
    """The object as the server would check it on creation."""
    obj: Any = default(codec.from_dict(kind, manifest))
    meta = obj.metadata
    meta.name, meta.namespace = meta.name or name, meta.namespace or namespace
    strategy.begin_create(meta, uid="u", now=NOW, suffix=lambda: "abcde")
    strategy.prepare_create(obj, now=NOW)
    meta.resource_version = "1"
    return obj


def refused(kind: type[Any], manifest: dict[str, Any], **names: Any) -> list[str]:
    """What is wrong with a new object, ``field: message`` each."""
    return [str(problem) for problem in validate_create(build(kind, manifest, **names))]


def refused_update(kind: type[Any], old: dict[str, Any], new: dict[str, Any], **names: Any) -> list[str]:
    """What is wrong with replacing `old` by `new`."""
    before, after = build(kind, old, **names), build(kind, new, **names)
    strategy.begin_update(after.metadata, before.metadata)
    strategy.prepare_update(after, before)
    return [str(problem) for problem in validate_update(after, before)]


def refused_status(kind: type[Any], obj: dict[str, Any], old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What is wrong with replacing the status `old` by `new`."""
    before, after = build(kind, obj), build(kind, obj)
    before.status = codec.from_dict(type(before.status), old)
    after.status = codec.from_dict(type(before.status), new)
    strategy.prepare_status_update(after, before)
    return [str(problem) for problem in validate_status_update(after, before)]
