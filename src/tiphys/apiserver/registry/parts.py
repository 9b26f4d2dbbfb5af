"""Endpoints that change one part of an object: what of the new object counts, the rest staying as it is stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

Keep = Callable[[Any, Any], None]


def _ephemeral_containers(new: Any, old: Any) -> None:
    wanted = new.spec.ephemeral_containers
    _restore(new, old)
    if wanted != old.spec.ephemeral_containers:
        new.spec = msgspec.structs.replace(old.spec, ephemeral_containers=wanted)
        new.metadata.generation = (old.metadata.generation or 0) + 1


def _resize(new: Any, old: Any) -> None:
    containers = _resized(new.spec.containers, old.spec.containers)
    init_containers = _resized(new.spec.init_containers, old.spec.init_containers)
    _restore(new, old)
    if (containers, init_containers) != (old.spec.containers, old.spec.init_containers):
        new.spec = msgspec.structs.replace(old.spec, containers=containers, init_containers=init_containers)
        new.metadata.generation = (old.metadata.generation or 0) + 1


def _resized(new: tuple[Any, ...], old: tuple[Any, ...]) -> tuple[Any, ...]:
    wanted = {c.name: c for c in new}
    return tuple(
        msgspec.structs.replace(c, resources=wanted[c.name].resources, resize_policy=wanted[c.name].resize_policy)
        if c.name in wanted
        else c
        for c in old
    )


def _finalizers(new: Any, old: Any) -> None:
    wanted = new.spec.finalizers
    _restore(new, old)
    new.spec = msgspec.structs.replace(old.spec, finalizers=wanted)


def _approval(new: Any, old: Any) -> None:
    wanted = new.status.conditions
    new.spec = old.spec
    new.status = msgspec.structs.replace(old.status, conditions=wanted)


def _restore(new: Any, old: Any) -> None:
    meta = new.metadata
    new.metadata = msgspec.structs.replace(old.metadata, managed_fields=meta.managed_fields)
    new.spec, new.status = old.spec, old.status


PARTS: Final[Mapping[str, Keep]] = {
    "ephemeralcontainers": _ephemeral_containers,
    "resize": _resize,
    "finalize": _finalizers,
    "approval": _approval,
}
"""By subresource; each function changes `new`, never `old`."""
