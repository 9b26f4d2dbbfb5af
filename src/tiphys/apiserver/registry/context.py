"""What every resource's verbs share, and the object of a write on its way through them."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from tiphys.api import errors
from tiphys.api.scheme import Resource
from tiphys.apiserver.watch_cache.feed import WatchCache
from tiphys.base.clock import Clock, rfc3339
from tiphys.store.backend import Backend


class NotYet(errors.ApiError):
    """A refusal that may not last: what is missing is about to be made by a controller."""


class Timestamps:
    """The current time as API text, formatted once a second."""

    __slots__ = ("_clock", "_second", "_text")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._second = -1
        self._text = ""

    def now(self) -> str:
        second = int(self._clock.now())
        if second != self._second:
            self._second, self._text = second, rfc3339(second)
        return self._text

    def after(self, seconds: float) -> str:
        """The time `seconds` from now."""
        return rfc3339(self._clock.now() + seconds)


class Write:
    """One write of one object: what admission, strategies and validation see and may change.

    operation: CREATE, UPDATE or DELETE. obj: the new object, unshared, to be changed in place; None for a DELETE.
    old: the stored object, not to be changed; None for a CREATE. warnings: texts for Warning headers.
    before: awaited before the write, where other apiservers share the store; may raise ApiError.
    undo: called in reverse order if the write does not happen (allocations to give back).
    done: called once it has happened. shown: called once it has happened and reads show it.
    """

    __slots__ = (
        "before",
        "done",
        "dry_run",
        "name",
        "namespace",
        "obj",
        "old",
        "operation",
        "options",
        "resource",
        "shown",
        "subresource",
        "undo",
        "user",
        "warnings",
    )

    def __init__(
        self,
        operation: str,
        resource: Resource,
        namespace: str,
        name: str,
        obj: Any,
        old: Any = None,
        *,
        subresource: str = "",
        user: Any = None,
        dry_run: bool = False,
        warnings: list[str] | None = None,
        options: Any = None,
    ) -> None:
        self.operation = operation
        self.resource = resource
        self.namespace = namespace
        self.name = name
        self.obj = obj
        self.old = old
        self.subresource = subresource
        self.user = user
        self.dry_run = dry_run
        self.warnings = [] if warnings is None else warnings
        self.options = options
        self.before: list[Callable[[], Awaitable[None]]] = []
        self.undo: list[Callable[[], None]] = []
        self.done: list[Callable[[], None]] = []
        self.shown: list[Callable[[], None]] = []

    def roll_back(self) -> None:
        """Give back what was allocated for a write that did not happen."""
        while self.undo:
            self.undo.pop()()

    def committed(self) -> None:
        """Keep what was allocated; do what waits for the write."""
        self.undo.clear()
        for act in self.done:
            act()
        self.done.clear()

    def visible(self) -> None:
        """Do what waits for the caches to show the write."""
        while self.shown:
            self.shown.pop()()


@dataclass
class Context:
    """Shared by all resources. `admission` is the chain; `allocations` what claims addresses and ports for
    a kind's objects; `new_uid` makes unique ids (an argument for tests' sake)."""

    backend: Backend
    feed: WatchCache
    clock: Clock
    admission: Any
    allocations: dict[tuple[str, str], tuple[Callable[[Write], None], ...]] = field(default_factory=dict)
    new_uid: Callable[[], str] = field(default=lambda: str(uuid.uuid4()))
    times: Timestamps = field(init=False)

    def __post_init__(self) -> None:
        self.times = Timestamps(self.clock)
