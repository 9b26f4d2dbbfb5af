"""Reading a container's log: tail, since, timestamps, one stream, a limit, and following it as it grows."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

from tiphys.kubelet.inotify import FolderWatch
from tiphys.kubelet.logs.format import LogLine, parse, sort_key

_BLOCK_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class LogOptions:
    """What of a log is wanted. None and "" leave a wish out; `since` is epoch seconds; `stream` is stdout or stderr."""

    follow: bool = False
    tail_lines: int | None = None
    since: float | None = None
    timestamps: bool = False
    limit_bytes: int | None = None
    stream: str = ""


class _Filter:
    """Lines in, bytes out; remembers where a partial line stands and how much may still be sent."""

    def __init__(self, options: LogOptions) -> None:
        self._options = options
        self._left = options.limit_bytes
        self._since = _stamp(options.since) if options.since is not None else b""
        self._middle = False

    @property
    def full(self) -> bool:
        return self._left is not None and self._left <= 0

    def wants(self, line: LogLine) -> bool:
        if self._options.stream and line.stream.decode() != self._options.stream.lower():
            return False
        return not self._since or sort_key(line.timestamp) >= self._since

    def render(self, raw: bytes) -> bytes:
        line = parse(raw)
        if line is None or not self.wants(line):
            return b""
        text = line.text if line.partial else line.text + b"\n"
        if self._options.timestamps and not self._middle:
            text = line.timestamp + b" " + text
        self._middle = line.partial
        if self._left is not None:
            text = text[: self._left]
            self._left -= len(text)
        return text


def _stamp(epoch_seconds: float) -> bytes:
    moment = datetime.fromtimestamp(epoch_seconds, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.").encode() + f"{moment.microsecond * 1000:09d}".encode()


def read(path: Path, options: LogOptions) -> Iterator[bytes]:
    """What the file holds now, in blocks. Raises FileNotFoundError."""
    with path.open("rb") as file:
        yield from _existing(file, _Filter(options), options)


def _existing(file: BinaryIO, wanted: _Filter, options: LogOptions) -> Iterator[bytes]:
    if options.tail_lines is not None:
        file.seek(_tail_offset(file, options.tail_lines, wanted))
    pending: list[bytes] = []
    size = 0
    while not wanted.full:
        raw = file.readline()
        if not raw.endswith(b"\n"):
            # A line being written is read again when it is whole.
            file.seek(-len(raw), 1)
            break
        text = wanted.render(raw[:-1])
        pending.append(text)
        size += len(text)
        if size >= _BLOCK_BYTES:
            yield b"".join(pending)
            pending, size = [], 0
    if size:
        yield b"".join(pending)


def _tail_offset(file: BinaryIO, lines: int, wanted: _Filter) -> int:
    """Where the last `lines` whole wanted lines begin."""
    end = file.seek(0, 2)
    position, rest, found = end, b"", 0
    start = end
    if lines <= 0:
        return end
    while position > 0:
        size = min(_BLOCK_BYTES, position)
        position -= size
        file.seek(position)
        block = file.read(size) + rest
        first = block.find(b"\n") + 1 if position > 0 else 0
        rest, body = block[:first], block[first:]
        offset = position + first
        starts = []
        for raw in body.splitlines(keepends=True):
            starts.append((offset, raw))
            offset += len(raw)
        for begin, raw in reversed(starts):
            line = parse(raw[:-1]) if raw.endswith(b"\n") else None
            if line is None or not wanted.wants(line):
                continue
            if not line.partial:
                found += 1
                if found > lines:
                    return start
            start = begin
    return start


async def follow(
    path: Path, options: LogOptions, write: Callable[[bytes], Awaitable[None]], exited: asyncio.Future[None]
) -> None:
    """Send what is there, then what comes, until the container has exited and all is sent. Rotation is followed.

    Raises FileNotFoundError when there is no log.
    """
    wanted = _Filter(options)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(FolderWatch(path.parent))
        file = stack.enter_context(path.open("rb"))
        for block in _existing(file, wanted, options):
            await write(block)
        plain = LogOptions()
        while not wanted.full:
            last_round = exited.done()
            for block in _existing(file, wanted, plain):
                await write(block)
            if _rotated(file, path):
                file.close()
                file = stack.enter_context(path.open("rb"))
                continue
            if last_round:
                return
            await folder.changed(exited)


def _rotated(file: BinaryIO, path: Path) -> bool:
    import os

    try:
        current = path.stat()
    except FileNotFoundError:
        return False
    mine = os.fstat(file.fileno())
    return (mine.st_ino, mine.st_dev) != (current.st_ino, current.st_dev)


def tail_text(path: Path, *, max_lines: int, max_bytes: int) -> str:
    """The end of a log as text; "" when there is none. For termination messages."""
    try:
        data = b"".join(read(path, LogOptions(tail_lines=max_lines)))
    except FileNotFoundError:
        return ""
    return data[-max_bytes:].decode(errors="replace")
