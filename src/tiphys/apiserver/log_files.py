"""``/logs/``: the files of the machine's log directory, for those who may read that path."""

from __future__ import annotations

import asyncio
import html
import stat
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import quote

from tiphys.api import errors
from tiphys.base.http.messages import Request, Response, StreamResponse, StreamWriter

PATH: Final = "/logs"
_CHUNK_BYTES: Final = 256 * 1024
_TEXT: Final = "text/plain; charset=utf-8"
_HTML: Final = "text/html; charset=utf-8"
_MISSING: Final = b"404 page not found\n"


class LogFiles:
    """Serves what is below `directory`, and nothing that a link leads to outside it."""

    def __init__(self, directory: str = "/var/log") -> None:
        self._directory = Path(directory)

    def serve(self, request: Request) -> Response | None:
        """The answer for ``/logs`` and below, None for other paths. Raises ApiError 405."""
        path = request.path
        if path != PATH and not path.startswith(f"{PATH}/"):
            return None
        if request.method not in ("GET", "HEAD"):
            raise errors.method_not_allowed()
        if path == PATH:
            return Response(301, b"", "", ((b"Location", b"/logs/"),))
        try:
            return self._found(path.removeprefix(f"{PATH}/"))
        except (OSError, ValueError):
            return Response(404, _MISSING, _TEXT)

    def _found(self, name: str) -> Response:
        root = self._directory.resolve(strict=True)
        target = (root / name).resolve(strict=True)
        if not target.is_relative_to(root):
            return Response(404, _MISSING, _TEXT)
        mode = target.stat().st_mode
        if stat.S_ISDIR(mode):
            return Response(200, _listing(target), _HTML)
        if not stat.S_ISREG(mode):
            return Response(404, _MISSING, _TEXT)
        opened = target.open("rb")

        async def run(writer: StreamWriter) -> None:
            with opened:
                await _copy(opened, writer)

        return StreamResponse(run, 200, _TEXT, abandoned=opened.close)


def _listing(directory: Path) -> bytes:
    entries = sorted(f"{entry.name}/" if entry.is_dir() else entry.name for entry in directory.iterdir())
    lines = (f'<a href="{quote(entry)}">{html.escape(entry)}</a>\n' for entry in entries)
    return f"<pre>\n{''.join(lines)}</pre>\n".encode()


async def _copy(source: BinaryIO, writer: StreamWriter) -> None:
    while not writer.closed:
        chunk = await asyncio.to_thread(source.read, _CHUNK_BYTES)
        if not chunk:
            return
        writer.write(chunk)
        await writer.drain()
