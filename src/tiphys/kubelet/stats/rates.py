"""CPU counters to cores in use: by what a counter was some seconds ago, whoever asked then."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from typing import Final

#: Two readings closer than this say nothing; one older than that says nothing about now.
SHORTEST_SECONDS: Final = 0.5
LONGEST_SECONDS: Final = 120.0
#: A reading is compared with until it is this old.
_REPLACED_SECONDS: Final = 10.0


class Rates:
    """Remembers a reading or two of each counter."""

    def __init__(self) -> None:
        self._before: dict[Hashable, tuple[float, int]] = {}
        self._latest: dict[Hashable, tuple[float, int]] = {}

    def nano_cores(self, key: Hashable, time: float, nanoseconds: int) -> int | None:
        """Billionths of a core in use until `time` (seconds); None as long as there is nothing to compare with."""
        latest, before = self._latest.get(key), self._before.get(key)
        if latest is None or nanoseconds < latest[1]:
            self._before.pop(key, None)
            self._latest[key] = (time, nanoseconds)
            return None
        compared = latest if before is None or time - latest[0] >= SHORTEST_SECONDS else before
        if time - latest[0] >= _REPLACED_SECONDS:
            self._before[key], self._latest[key] = latest, (time, nanoseconds)
        seconds = time - compared[0]
        if not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
            return None
        return round((nanoseconds - compared[1]) / seconds)

    def keep_only(self, keys: Collection[Hashable]) -> None:
        """Forget the counters of what is gone."""
        for known in (self._before, self._latest):
            for key in [key for key in known if key not in keys]:
                del known[key]
