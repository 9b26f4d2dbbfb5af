"""What a killed test session left of its clusters: links, tables, mounts. The next session takes it back first.

A session that is killed runs no teardown, and the addresses of its dead clusters would be taken from those of the next.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(tempfile.gettempdir()) / f"tiphys-sessions-{os.getuid()}"
"""A file a session: its clusters' data directories. It must outlive them, so it is in none of them."""


def note(data_dir: Path) -> None:
    """Before a cluster is made: this session is the one to take it down."""
    _FOLDER.mkdir(mode=0o700, exist_ok=True)
    mine = _FOLDER / _session(os.getpid())
    known = json.loads(mine.read_text()) if mine.exists() else []
    if str(data_dir) not in known:
        mine.write_text(json.dumps([*known, str(data_dir)]))


@functools.cache
def take_back() -> None:
    """Take down the clusters of sessions that are no more, once a session. A failure is the caller's to see."""
    for session, data_dirs in list(_dead()):
        for data_dir in data_dirs:
            if (data_dir / "cluster.json").exists():
                command = [str(Path(sys.executable).parent / "tiphys"), "down", "--data-dir", str(data_dir)]
                subprocess.run(command, check=True, timeout=120, capture_output=True)
        session.unlink(missing_ok=True)


def _dead() -> Iterator[tuple[Path, list[Path]]]:
    if not _FOLDER.exists():
        return
    for file in _FOLDER.iterdir():
        if file.name != _session(int(file.name.partition("-")[0])):
            yield file, [Path(name) for name in json.loads(file.read_text())]


def _session(pid: int) -> str:
    """A process's id and the moment it began: the id alone may be another's by now. Empty when there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return ""
    return f"{pid}-{fields[19]}"
