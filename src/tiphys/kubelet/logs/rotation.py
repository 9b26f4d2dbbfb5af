"""Keeping logs within their size: the full file is renamed, the runtime opens a new one, old ones are dropped."""

from __future__ import annotations

import asyncio
import gzip
import shutil
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path


async def rotate_if_full(
    path: Path, *, max_bytes: int, max_files: int, now: float, reopen: Callable[[], Awaitable[None]]
) -> bool:
    """Rotate `path` when it has grown over `max_bytes`; returns whether it was. `max_files` counts the current one."""
    try:
        if path.stat().st_size < max_bytes:
            return False
    except FileNotFoundError:
        return False
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%d-%H%M%S")
    rotated = path.with_name(f"{path.name}.{stamp}")
    previous = _old_files(path)
    path.rename(rotated)
    try:
        await reopen()
    except Exception:
        # The runtime writes on into the renamed file: it must be the log again.
        rotated.rename(path)
        raise
    await asyncio.to_thread(_tidy, previous, max_files - 2)
    return True


def _old_files(path: Path) -> list[Path]:
    """Rotated files, oldest first."""
    return sorted(path.parent.glob(f"{path.name}.*"))


def _tidy(files: list[Path], keep: int) -> None:
    """Compress rotated files (the newest is still read by followers and is not among them), drop all but `keep`."""
    for file in files[: max(len(files) - keep, 0)]:
        file.unlink(missing_ok=True)
    for file in files[max(len(files) - keep, 0) :]:
        if file.suffix == ".gz":
            continue
        packed = file.with_name(file.name + ".gz")
        with file.open("rb") as source, gzip.open(packed, "wb") as target:
            shutil.copyfileobj(source, target)
        file.unlink()
