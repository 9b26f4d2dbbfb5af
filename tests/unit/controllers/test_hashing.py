"""Names made of hashes."""

from __future__ import annotations

from tiphys.controllers.hashing import short_hash


def test_a_collision_gives_another_name_and_nothing_else_does() -> None:
    assert short_hash({"a": 1}, None) == short_hash({"a": 1}, 0)
    assert len({short_hash({"a": 1}, count) for count in (0, 1, 2)}) == 3
