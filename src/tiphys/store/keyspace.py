"""The live keys, in memory: what reads at the newest revision are served from."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from tiphys.store.backend import FIRST_REVISION, KeyValue, Page

_AFTER_ALL = "\U0010ffff"


def prefix_end(prefix: str) -> str:
    """A string greater than every key that starts with `prefix`."""
    return prefix + _AFTER_ALL


class Keyspace:
    """The committed value of every live key.

    Values are the very bytes that events carry, so a cache that keeps those costs no second copy. The sorted order is
    mended only when a listing needs it: writes pay nothing for it.
    """

    def __init__(self) -> None:
        self.revision = FIRST_REVISION
        self._live: dict[str, KeyValue] = {}
        self._sorted: list[str] = []
        self._added: list[str] = []
        self._removed = False

    def __len__(self) -> int:
        return len(self._live)

    def get(self, key: str) -> KeyValue | None:
        return self._live.get(key)

    def set(self, item: KeyValue) -> None:
        """Insert or replace; does not move `revision`."""
        if item.key not in self._live:
            self._added.append(item.key)
        self._live[item.key] = item

    def remove(self, key: str) -> None:
        if self._live.pop(key, None) is not None:
            self._removed = True

    def page(self, prefix: str, *, limit: int, after: str) -> Page:
        """`Backend.list` at the newest revision."""
        keys = self._ordered()
        start = bisect_right(keys, after) if after >= prefix else bisect_left(keys, prefix)
        end = bisect_left(keys, prefix_end(prefix), lo=start)
        stop = min(end, start + limit) if limit else end
        live = self._live
        return Page([live[key] for key in keys[start:stop]], self.revision, end - stop)

    def _ordered(self) -> list[str]:
        if self._removed:
            # A key removed and made again is in both lists, hence the set.
            self._sorted = sorted(self._live)
        elif self._added:
            # Two sorted runs: timsort merges them in one pass.
            self._added.sort()
            self._sorted.extend(self._added)
            self._sorted.sort()
        self._added.clear()
        self._removed = False
        return self._sorted
