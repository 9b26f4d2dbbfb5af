"""Long-lived objects leave the collector's sight, and rings of them are still found in the end."""

from __future__ import annotations

import gc
import weakref

from tiphys.base.survivors import EVERY, kept_apart


class _Node:
    def __init__(self) -> None:
        self.other: _Node | None = None


def _ring() -> _Node:
    one, two = _Node(), _Node()
    one.other, two.other = two, one
    return one


def test_survivors_are_not_looked_at_again_but_freed_when_nobody_refers_to_them() -> None:
    with kept_apart():
        kept = [_Node() for _ in range(1000)]
        gc.collect()
        assert gc.get_freeze_count() > 1000
        assert not any(isinstance(found, _Node) for found in gc.get_objects())
        gone = weakref.ref(kept[0])
        del kept[0]
        assert gone() is None
    assert any(isinstance(found, _Node) for found in gc.get_objects())


def test_rings_of_them_are_found_by_the_collection_that_looks_at_everything() -> None:
    with kept_apart():
        ring = _ring()
        gc.collect()
        gone = weakref.ref(ring)
        del ring
        for _ in range(EVERY - 2):
            gc.collect()
        assert gone() is not None
        gc.collect()
        assert gone() is None
