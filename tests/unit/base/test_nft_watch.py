"""The kernel's announcements of deletions, read from bytes."""

from __future__ import annotations

import struct

import pytest

from tiphys.base.nft_watch import deletions

DELETE_TABLE, NEW_RULE, DELETE_RULE = 2, 6, 8


def attribute(kind: int, data: bytes) -> bytes:
    padded = data + bytes(-len(data) % 4)
    return struct.pack("=HH", 4 + len(data), kind) + padded


def message(kind: int, *attributes: bytes, subsystem: int = 10) -> bytes:
    body = bytes(4) + b"".join(attributes)
    return struct.pack("=IHHII", 16 + len(body), subsystem << 8 | kind, 0, 0, 0) + body


def test_every_deletion_names_its_table() -> None:
    batch = (
        message(DELETE_RULE, attribute(1, b"ours\0"), attribute(2, b"chain\0"))
        + message(NEW_RULE, attribute(1, b"new\0"))
        + message(DELETE_TABLE, attribute(3, b"\0\0\0\1"), attribute(1, b"other\0"))
    )
    assert list(deletions(batch)) == ["ours", "other"]


def test_messages_of_other_subsystems_are_not_read() -> None:
    assert list(deletions(message(DELETE_TABLE, attribute(1, b"ours\0"), subsystem=1))) == []


@pytest.mark.parametrize("data", [b"", b"\0" * 20, b"\xff" * 64, message(DELETE_TABLE, b"\0\0\1\0ours")])
def test_broken_bytes_end_the_reading(data: bytes) -> None:
    assert list(deletions(data)) == []
