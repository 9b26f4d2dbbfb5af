"""What a write does to an object before it is checked: the server's half of metadata, status apart from spec.

The order of a write is: decode, `defaulting.default`, admission, `begin_create`/`begin_update`, `prepare_*`,
validation, store. Everything here changes the new object in place (nobody shares it yet), never the old one, and
returns it; the new object may share parts with the old one afterwards.
"""

from __future__ import annotations

from typing import Any, TypeVar

from tiphys.api.strategy.metadata import (
    allows_create_on_update,
    allows_unconditional_update,
    begin_create,
    begin_update,
    mark_deleted,
)
from tiphys.api.strategy.qos import qos_class
from tiphys.api.strategy.table import STRATEGIES, Strategy
from tiphys.api.types.model import Model

__all__ = [
    "Strategy",
    "allows_create_on_update",
    "allows_unconditional_update",
    "begin_create",
    "begin_update",
    "has_status",
    "mark_deleted",
    "prepare_create",
    "prepare_status_update",
    "prepare_update",
    "qos_class",
]

T = TypeVar("T", bound=Model)
_PLAIN = Strategy()


def _strategy(kind: type[Any]) -> Strategy:
    return STRATEGIES.get((kind.__module__.rpartition(".")[2], kind.__name__), _PLAIN)


def has_status(kind: type[Model]) -> bool:
    """Whether status is the system's: dropped on create, kept on update, changed through the subresource only."""
    return _strategy(kind).status


def prepare_create(obj: T, *, now: str) -> T:
    """The object as it is created at `now` (RFC 3339); its uid and name are given already (`begin_create`)."""
    strategy = _strategy(type(obj))
    target: Any = obj
    if strategy.status:
        target.status = type(target.status)()
    if strategy.generation:
        target.metadata.generation = 1
    if strategy.create is not None:
        strategy.create(target, now)
    return obj


def prepare_update(new: T, old: T) -> T:
    """The object as an update leaves it: status as it was, generation one more if what is asked for changed."""
    strategy = _strategy(type(new))
    target: Any = new
    source: Any = old
    if strategy.status:
        target.status = source.status
    if strategy.update is not None:
        strategy.update(target, source)
    if strategy.generation and strategy.changed(target, source):
        target.metadata.generation = (source.metadata.generation or 0) + 1
    return new


def prepare_status_update(new: T, old: T) -> T:
    """The object as an update of its status leaves it: all but status (and some metadata) as it was."""
    strategy = _strategy(type(new))
    target: Any = new
    source: Any = old
    if hasattr(source, "spec"):
        target.spec = source.spec
    if strategy.status_update is not None:
        strategy.status_update(target, source)
    return new
