"""inotify(7) on a folder, awaited on the event loop: logs and manifests are followed without polling."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
from pathlib import Path
from types import TracebackType
from typing import Final

_libc = ctypes.CDLL(None, use_errno=True)
_IN_MODIFY: Final = 0x2
_IN_MOVED_FROM: Final = 0x40
_IN_MOVED_TO: Final = 0x80
_IN_CREATE: Final = 0x100
_IN_DELETE: Final = 0x200
_FLAGS: Final = os.O_NONBLOCK | os.O_CLOEXEC


class FolderWatch:
    """Tells when a file in the folder was written to, created, renamed or deleted."""

    def __init__(self, folder: Path) -> None:
        self._descriptor = int(_libc.inotify_init1(_FLAGS))
        if self._descriptor < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        mask = _IN_MODIFY | _IN_MOVED_FROM | _IN_MOVED_TO | _IN_CREATE | _IN_DELETE
        if _libc.inotify_add_watch(self._descriptor, os.fsencode(folder), mask) < 0:
            code = ctypes.get_errno()
            os.close(self._descriptor)
            raise OSError(code, os.strerror(code), str(folder))

    def __enter__(self) -> FolderWatch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    async def changed(self, stop: asyncio.Future[None]) -> None:
        """Return when something changed since the last call, or `stop` is done."""
        loop = asyncio.get_running_loop()
        readable: asyncio.Future[None] = loop.create_future()

        def wake(*_: object) -> None:
            if not readable.done():
                readable.set_result(None)

        loop.add_reader(self._descriptor, wake)
        stop.add_done_callback(wake)
        try:
            await readable
        finally:
            loop.remove_reader(self._descriptor)
            stop.remove_done_callback(wake)
        with contextlib.suppress(BlockingIOError):
            os.read(self._descriptor, 64 * 1024)
