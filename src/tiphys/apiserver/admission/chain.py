"""The chain, and what plugins may look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Protocol, TypeVar

from tiphys.api import codec, errors
from tiphys.api.scheme import Resource
from tiphys.apiserver.registry.context import Write
from tiphys.apiserver.registry.kinds import resource_of
from tiphys.apiserver.watch_cache.feed import WatchCache
from tiphys.apiserver.watch_cache.objects import CachedObject

T = TypeVar("T")
Check = Callable[[Write], None]
CREATE: Final = "CREATE"
UPDATE: Final = "UPDATE"
DELETE: Final = "DELETE"


class Plugin(Protocol):
    """One admission plugin.

    concerns: asked once per (group, plural, operation, subresource). admit: completes the new object, or raises
    ApiError. validate: after everything was completed and validated; raises ApiError.
    """

    def concerns(self, group: str, plural: str, operation: str, subresource: str) -> bool: ...

    def admit(self, write: Write) -> None: ...

    def validate(self, write: Write) -> None: ...


class Base:
    """A plugin that does nothing in the phase it does not override."""

    def admit(self, write: Write) -> None:
        """Complete the new object."""

    def validate(self, write: Write) -> None:
        """Refuse what must not be."""


class Lookup:
    """Cached objects by kind, for plugins. What it returns must not be changed."""

    def __init__(self, feed: WatchCache) -> None:
        self._feed = feed

    def get(self, kind: type[T], name: str, namespace: str = "") -> T | None:
        """One object, decoded at most once per version."""
        resource = resource_of(kind)
        cache = self._feed.caches[resource.group, resource.plural]
        return cache.decoded(kind, f"{namespace}/{name}" if namespace else name)

    def list(self, kind: type[T], namespace: str = "") -> Iterator[T]:
        """All objects (of a namespace). Only for kinds with few objects."""
        resource = resource_of(kind)
        cache = self._feed.caches[resource.group, resource.plural]
        for obj in cache.in_namespace(namespace):
            found = cache.decoded(kind, obj.key)
            if found is not None:
                yield found

    def any(self, kind: type[Any], namespace: str = "") -> bool:
        """True if there is such an object; cheaper than listing."""
        resource = resource_of(kind)
        cache = self._feed.caches[resource.group, resource.plural]
        return bool(cache.keys) and next(iter(cache.in_namespace(namespace)), None) is not None

    def versions(self, resource: Resource, namespace: str) -> Iterator[CachedObject]:
        """The namespace's objects as they are stored, whatever their kind."""
        cache = self._feed.caches.get((resource.group, resource.plural))
        return iter(()) if cache is None else cache.in_namespace(namespace)

    def decode(self, kind: type[T], value: bytes) -> T:
        return codec.decode(kind, value)


class Chain:
    """Runs the plugins a write concerns, in their order."""

    def __init__(self, plugins: Sequence[Plugin]) -> None:
        self._plugins = tuple(plugins)
        self._known: dict[tuple[str, str, str, str], tuple[tuple[Check, ...], tuple[Check, ...]]] = {}

    def append(self, plugin: Plugin) -> None:
        """Run one more plugin, after the others."""
        self._plugins += (plugin,)
        self._known.clear()

    def admit(self, write: Write) -> None:
        """The mutating phase. Raises ApiError."""
        for check in self._checks(write)[0]:
            check(write)

    def validate(self, write: Write) -> None:
        """The validating phase. Raises ApiError."""
        for check in self._checks(write)[1]:
            check(write)

    def _checks(self, write: Write) -> tuple[tuple[Check, ...], tuple[Check, ...]]:
        resource = write.resource
        key = (resource.group, resource.plural, write.operation, write.subresource)
        known = self._known.get(key)
        if known is None:
            concerned = [p for p in self._plugins if p.concerns(*key)]
            known = self._known[key] = (_phase(concerned, "admit"), _phase(concerned, "validate"))
        return known


def _phase(plugins: list[Plugin], phase: str) -> tuple[Check, ...]:
    return tuple(getattr(p, phase) for p in plugins if getattr(type(p), phase) is not getattr(Base, phase))


def refuse(write: Write, message: str) -> errors.ApiError:
    """403 about the object written."""
    return errors.forbidden(write.resource.qualified, write.name or write_name(write), message)


def write_name(write: Write) -> str:
    """The object's name as messages show it."""
    return (write.obj.metadata.name if write.obj is not None else write.name) or ""
