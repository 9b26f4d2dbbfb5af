"""Reading, following and rotating container logs."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path

import pytest

from tiphys.kubelet.logs import reader
from tiphys.kubelet.logs.format import parse
from tiphys.kubelet.logs.reader import LogOptions
from tiphys.kubelet.logs.rotation import rotate_if_full
from tiphys.testing.clock import settle

LINES = (
    b"2026-01-01T00:00:01.000000001Z stdout F one\n"
    b"2026-01-01T00:00:02.5Z stderr F two\n"
    b"2026-01-01T00:00:03Z stdout P thr\n"
    b"2026-01-01T00:00:03.1Z stdout F ee\n"
    b"2026-01-01T00:00:04Z stdout F \n"
)
SECOND_THREE = 1_767_225_603.0


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "0.log"
    path.write_bytes(LINES)
    return path


def text(path: Path, **options: object) -> str:
    return b"".join(reader.read(path, LogOptions(**options))).decode()  # type: ignore[arg-type]


def test_lines_of_the_cri_format() -> None:
    line = parse(b"2026-01-01T00:00:01Z stdout P some text")
    assert line is not None
    assert (line.stream, line.partial, line.text) == (b"stdout", True, b"some text")
    assert parse(b"not a log line") is None


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "one\ntwo\nthree\n\n"),
        ({"tail_lines": 2}, "three\n\n"),
        ({"tail_lines": 0}, ""),
        ({"tail_lines": 99}, "one\ntwo\nthree\n\n"),
        ({"stream": "stderr"}, "two\n"),
        ({"stream": "stdout", "tail_lines": 3}, "one\nthree\n\n"),
        ({"since": SECOND_THREE}, "three\n\n"),
        ({"limit_bytes": 5}, "one\nt"),
        ({"timestamps": True, "tail_lines": 2}, "2026-01-01T00:00:03Z three\n2026-01-01T00:00:04Z \n"),
    ],
)
def test_options(log: Path, options: dict[str, object], expected: str) -> None:
    assert text(log, **options) == expected


def test_a_tail_across_blocks(tmp_path: Path) -> None:
    path = tmp_path / "big.log"
    path.write_bytes(b"".join(b"2026-01-01T00:00:01Z stdout F %d %s\n" % (n, b"x" * 200) for n in range(2000)))
    assert [line.split()[0] for line in text(path, tail_lines=700).splitlines()] == [str(n) for n in range(1300, 2000)]


def test_a_line_being_written_is_not_read_yet(log: Path) -> None:
    with log.open("ab") as file:
        file.write(b"2026-01-01T00:00:05Z stdout F half")
    assert text(log, tail_lines=1) == "\n"


async def test_follow_sends_what_comes_until_the_exit(log: Path) -> None:
    sent: list[bytes] = []

    news = asyncio.Event()

    async def write(data: bytes) -> None:
        sent.append(data)
        news.set()

    async def arrived(data: bytes) -> None:
        while data not in sent:
            news.clear()
            await news.wait()

    exited: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    following = asyncio.create_task(reader.follow(log, LogOptions(follow=True, tail_lines=1), write, exited))
    await settle()
    with log.open("ab") as file:
        file.write(b"2026-01-01T00:00:06Z stdout F more\n")
    async with asyncio.timeout(5):
        await arrived(b"more\n")
        log.rename(log.with_name("0.log.old"))
        log.write_bytes(b"2026-01-01T00:00:07Z stdout F rotated\n")
        await arrived(b"rotated\n")
        exited.set_result(None)
        await following
    assert b"".join(sent) == b"\nmore\nrotated\n"


def test_the_end_of_a_log_as_a_message(log: Path, tmp_path: Path) -> None:
    assert reader.tail_text(log, max_lines=2, max_bytes=100) == "three\n\n"
    assert reader.tail_text(log, max_lines=2, max_bytes=3) == "e\n\n"
    assert reader.tail_text(tmp_path / "none.log", max_lines=2, max_bytes=3) == ""


async def test_rotation_keeps_so_many_files_and_packs_the_old(log: Path) -> None:
    async def reopen() -> None:
        log.write_bytes(LINES)

    assert not await rotate_if_full(log, max_bytes=10_000, max_files=3, now=0.0, reopen=reopen)
    for second in range(5):
        assert await rotate_if_full(log, max_bytes=10, max_files=3, now=float(second), reopen=reopen)
    names = sorted(p.name for p in log.parent.iterdir())
    assert names == ["0.log", "0.log.19700101-000003.gz", "0.log.19700101-000004"]
    assert gzip.decompress((log.parent / names[1]).read_bytes()) == LINES


async def test_a_failed_reopening_leaves_the_log_where_it_was(log: Path) -> None:
    async def reopen() -> None:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        await rotate_if_full(log, max_bytes=10, max_files=3, now=0.0, reopen=reopen)
    assert text(log).startswith("one\n")
