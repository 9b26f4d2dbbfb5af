"""What a controller has asked for and its informer has not shown yet, so that nothing is asked for twice."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from tiphys.base.clock import Clock, SystemClock

K = TypeVar("K", bound=Hashable)

EXPIRE_SECONDS: Final = 300.0
"""After this long an expectation that was not met is dropped: its event is lost, and acting again is right."""


@dataclass(slots=True)
class _Awaited:
    since: float
    creations: int = 0
    deletions: set[str] = field(default_factory=set)

    @property
    def fulfilled(self) -> bool:
        return self.creations <= 0 and not self.deletions


class Expectations(Generic[K]):
    """Per owner: how many creations and which deletions (by uid) its informer has yet to show."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._awaited: dict[K, _Awaited] = {}

    def expect_creations(self, owner: K, count: int) -> None:
        """`count` more creations were asked for."""
        self._of(owner).creations += count

    def expect_deletions(self, owner: K, uids: Iterable[str]) -> None:
        """These objects were asked to be deleted."""
        self._of(owner).deletions.update(uids)

    def creation_observed(self, owner: K, count: int = 1) -> None:
        """The informer showed a creation, or one that was asked for failed."""
        awaited = self._awaited.get(owner)
        if awaited is not None:
            awaited.creations -= count

    def deletion_observed(self, owner: K, uid: str) -> None:
        """The informer showed the object deleted or terminating, or deleting it failed."""
        awaited = self._awaited.get(owner)
        if awaited is not None:
            awaited.deletions.discard(uid)

    def satisfied(self, owner: K) -> bool:
        """Whether the informer shows everything that was asked for, or has had `EXPIRE_SECONDS` to do so."""
        awaited = self._awaited.get(owner)
        if awaited is None:
            return True
        if awaited.fulfilled or self._clock.monotonic() - awaited.since > EXPIRE_SECONDS:
            del self._awaited[owner]
            return True
        return False

    def forget(self, owner: K) -> None:
        """The owner is gone."""
        self._awaited.pop(owner, None)

    def _of(self, owner: K) -> _Awaited:
        awaited = self._awaited.setdefault(owner, _Awaited(self._clock.monotonic()))
        awaited.since = self._clock.monotonic()
        return awaited
