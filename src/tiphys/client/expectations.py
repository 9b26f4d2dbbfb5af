"""What a controller has asked for and its informer has not shown yet, so that nothing is asked for twice."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from tiphys.api.errors import ApiError
from tiphys.base.clock import Clock, SystemClock

K = TypeVar("K", bound=Hashable)

EXPIRE_SECONDS: Final = 300.0
"""After this long an expectation that was not met is dropped: its event is lost, and acting again is right."""


UNCERTAIN_SECONDS: Final = 5.0
"""How long the informer is given to show what was asked for without an answer; then it did not happen."""


def is_uncertain(error: BaseException) -> bool:
    """Whether a write that failed so may have happened all the same: its answer was lost or came too late."""
    if isinstance(error, ApiError):
        return error.code == 504
    return isinstance(error, OSError | TimeoutError) and not isinstance(error, ConnectionRefusedError)


@dataclass(slots=True)
class _Awaited:
    since: float
    creations: int = 0
    deletions: set[str] = field(default_factory=set)
    uncertain: int = 0

    @property
    def fulfilled(self) -> bool:
        return self.creations <= 0 and not self.deletions

    @property
    def expire_seconds(self) -> float:
        return UNCERTAIN_SECONDS if self.creations <= self.uncertain and not self.deletions else EXPIRE_SECONDS


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

    def creation_failed(self, owner: K, error: BaseException) -> None:
        """A creation that was asked for failed; one that may have happened is still waited for, though not long."""
        awaited = self._awaited.get(owner)
        if awaited is None:
            return
        if is_uncertain(error):
            awaited.uncertain += 1
            awaited.since = self._clock.monotonic()
        else:
            awaited.creations -= 1

    def deletion_observed(self, owner: K, uid: str) -> None:
        """The informer showed the object deleted or terminating, or deleting it failed."""
        awaited = self._awaited.get(owner)
        if awaited is not None:
            awaited.deletions.discard(uid)

    def satisfied(self, owner: K) -> bool:
        """Whether the informer shows everything that was asked for, or has had long enough to do so."""
        awaited = self._awaited.get(owner)
        if awaited is None:
            return True
        if awaited.fulfilled or self._clock.monotonic() - awaited.since >= awaited.expire_seconds:
            del self._awaited[owner]
            return True
        return False

    def seconds_left(self, owner: K) -> float:
        """Until what the informer does not show is given up; 0 if nothing is awaited."""
        awaited = self._awaited.get(owner)
        if awaited is None:
            return 0.0
        return max(0.0, awaited.since + awaited.expire_seconds - self._clock.monotonic())

    def forget(self, owner: K) -> None:
        """The owner is gone."""
        self._awaited.pop(owner, None)

    def _of(self, owner: K) -> _Awaited:
        awaited = self._awaited.setdefault(owner, _Awaited(self._clock.monotonic()))
        awaited.since = self._clock.monotonic()
        return awaited
