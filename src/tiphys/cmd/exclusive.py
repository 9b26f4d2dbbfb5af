"""One `up` or `down` at a time in a data directory."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from tiphys.cmd.config import CLUSTER_FILE, ConfigError

LOCK_FILE: Final = "command.lock"


@contextmanager
def exclusive(data_dir: Path) -> Iterator[None]:
    """Hold the data directory, made if it is missing; waits for another command to let it go.

    Two supervisors of one cluster would each believe to be the only one, and no command would find the first again.
    Nothing is left in a directory that holds no cluster at the end. Raises ConfigError when there can be no directory.
    """
    try:
        lock, made = _acquire(data_dir)
    except OSError as error:
        raise ConfigError(f"{data_dir} cannot be used as data directory: {error.strerror}") from error
    try:
        yield
    finally:
        if not (data_dir / CLUSTER_FILE).exists():
            (data_dir / LOCK_FILE).unlink(missing_ok=True)
            if made:
                with suppress(OSError):
                    data_dir.rmdir()
        os.close(lock)


def _acquire(data_dir: Path) -> tuple[int, bool]:
    """The lock's descriptor, and whether the directory was made for it."""
    path, made = data_dir / LOCK_FILE, False
    while True:
        made = made or not data_dir.exists()
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # the holder before us removed the directory
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(lock), path.stat()):
                    return lock, made
            os.close(lock)
