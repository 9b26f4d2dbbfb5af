"""Exits that are told of before anybody knows the container: it was started a moment ago, and has ended already."""

from __future__ import annotations

from types import TracebackType


class EarlyExits:
    """Entered while a container is being started; remembers exits of unknown containers until no start is under way."""

    def __init__(self) -> None:
        self._starts = 0
        self._ids: set[str] = set()

    def __enter__(self) -> None:
        self._starts += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._starts -= 1
        if not self._starts:
            self._ids.clear()

    def note(self, container_id: str) -> None:
        """A container exited that no pod knows."""
        if self._starts:
            self._ids.add(container_id)

    def __contains__(self, container_id: str) -> bool:
        return container_id in self._ids
