"""Objects as they lie in etcd."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from tiphys.store import etcd_values
from tiphys.store.backend import KeyValue


class _Stored(NamedTuple):
    value: bytes
    create_revision: int
    mod_revision: int


# Also what looks like the line at the end.
parts = st.one_of(st.binary(max_size=60), st.from_regex(rb"\A[a-z]?\n\d{1,4}( \d\.\d{3})?\n?\Z"))
revisions = st.integers(1, 2**62)


@given(parts, parts, st.none() | st.floats(0, 1e11), revisions)
def test_what_is_kept_is_read_back_with_its_revision(
    head: bytes, tail: bytes, expires_at: float | None, revision: int
) -> None:
    kept = etcd_values.read("/k", _Stored(etcd_values.raw(head, tail, expires_at), 1, revision))
    assert kept.item == KeyValue("/k", head + str(revision).encode() + tail, 1, revision)
    if expires_at is None:
        assert kept.expires_at is None
    else:
        assert kept.expires_at is not None
        assert abs(kept.expires_at - expires_at) < 0.001


@given(st.binary(max_size=60).filter(lambda value: b"\n" not in value))
def test_values_of_others_are_taken_as_they_are(value: bytes) -> None:
    assert etcd_values.read("/k", _Stored(value, 1, 7)).item.value == value
