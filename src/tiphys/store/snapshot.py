"""A snapshot: the whole state at one revision, in one file, the same for every store.

It is a store's own SQLite file that holds what is live and no history, and a table that says where it is from and what
its content adds up to. What was saved from one store can be restored into another. Synchronous.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from tiphys.store import sqlite_file
from tiphys.store.backend import KeyValue, StoreError

BUMP_REVISIONS: Final = 1_000_000
"""How far revisions jump in a restore: more than were written since the snapshot, so that none is given twice."""
_ROWS_A_STATEMENT: Final = 200
_FORMAT: Final = "1"


class SnapshotError(StoreError):
    """A snapshot cannot be written, read or restored; the text says why and what to do."""


class Entry(NamedTuple):
    """One live key; `expires_at` in epoch seconds."""

    item: KeyValue
    expires_at: float | None


class Summary(NamedTuple):
    """What a snapshot says of itself. `taken_at` is API time, `source` names the store it is from."""

    revision: int
    keys: int
    value_bytes: int
    taken_at: str
    source: str
    sha256: str


def write(path: Path, entries: Iterable[Entry], *, revision: int, taken_at: str, source: str) -> Summary:
    """Write a new snapshot (0600), whole or not at all. Raises SnapshotError if the file is there already."""
    if path.exists():
        raise SnapshotError(f"{path} is there already: choose another name")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    _remove(partial)
    try:
        with closing(sqlite_file.connect(partial)) as connection:
            summary = _fill(connection, sorted(entries), revision, taken_at, source)
            # One file, without a log beside it.
            connection.execute("PRAGMA journal_mode = DELETE")
        _flush(partial)
        partial.rename(path)
        _flush(path.parent)
    except (OSError, sqlite3.Error) as error:
        raise SnapshotError(f"{path}: {error}") from error
    finally:
        _remove(partial)
    return summary


def _fill(connection: sqlite3.Connection, entries: list[Entry], revision: int, taken_at: str, source: str) -> Summary:
    connection.execute("BEGIN")
    for start in range(0, len(entries), _ROWS_A_STATEMENT):
        rows = [
            (item.mod_revision, item.key, item.value, item.create_revision, 0, expires_at)
            for item, expires_at in entries[start : start + _ROWS_A_STATEMENT]
        ]
        sqlite_file.append(connection, rows)
    value_bytes = sum(len(entry.item.value) for entry in entries)
    summary = Summary(revision, len(entries), value_bytes, taken_at, source, _digest(entries))
    connection.execute("CREATE TABLE snapshot (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID")
    named = {"format": _FORMAT} | {name: str(value) for name, value in summary._asdict().items()}
    connection.executemany("INSERT INTO snapshot VALUES (?, ?)", list(named.items()))
    sqlite_file.set_revisions(connection, last=revision, compacted=revision)
    connection.execute("COMMIT")
    return summary


def read(path: Path) -> tuple[Summary, list[Entry]]:
    """A snapshot's content, verified against its own sum. Raises SnapshotError when it is none or is damaged."""
    if not path.is_file():
        raise SnapshotError(f"{path} is no file")
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            named = dict(connection.execute("SELECT name, value FROM snapshot"))
            loaded = sqlite_file.load(connection)
    except sqlite3.Error as error:
        raise SnapshotError(f"{path} is no snapshot, or is damaged: {error}") from error
    if named.pop("format", "") != _FORMAT:
        raise SnapshotError(f"{path} was written by another version of Tiphys")
    expiries = {(key, revision): at for key, revision, at in loaded.expiries}
    entries = [Entry(item, expiries.get((item.key, item.mod_revision))) for item in loaded.items]
    summary = Summary(
        int(named["revision"]), int(named["keys"]), int(named["value_bytes"]),
        named["taken_at"], named["source"], named["sha256"],
    )  # fmt: skip
    if len(entries) != summary.keys or _digest(entries) != summary.sha256:
        raise SnapshotError(f"{path} is damaged: its content does not add up to {summary.sha256[:12]}…")
    return summary, entries


def save_sqlite(store: Path, path: Path, taken_at: str) -> Summary:
    """A snapshot of the SQLite store at `store`, which may be in use."""
    if not store.is_file():
        raise SnapshotError(f"no store at {store}")
    with closing(sqlite3.connect(f"{store.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        connection.isolation_level = None
        try:
            connection.execute("BEGIN")  # one moment for all that is read
            loaded = sqlite_file.load(connection)
        except sqlite3.Error as error:
            raise SnapshotError(f"{store}: {error}") from error
    expiries = {(key, revision): at for key, revision, at in loaded.expiries}
    entries = [Entry(item, expiries.get((item.key, item.mod_revision))) for item in loaded.items]
    return write(path, entries, revision=loaded.revision, taken_at=taken_at, source="sqlite")


def restore_sqlite(path: Path, store: Path, *, overwrite: bool, stamp: str) -> tuple[Summary, Path | None]:
    """Make the snapshot the state of the SQLite store at `store`, which nobody may have open.

    Objects keep their revisions; the next write's lies above all that the store ever gave, and what watchers saw since
    counts as compacted, so that they list anew. A store that is there is only replaced with `overwrite`, and is kept:
    where, is returned. Raises SnapshotError, or StoreLocked when the store is in use.
    """
    summary, _ = read(path)
    store.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = sqlite_file.FileLock(store.with_name(store.name + ".lock"))
    try:
        newest = 0
        kept = None
        if store.exists():
            if not overwrite:
                raise SnapshotError(f"there is state in {store}: --overwrite replaces it (and keeps it beside)")
            with closing(sqlite_file.connect(store)) as connection:
                newest = sqlite_file.load(connection).revision
            kept = store.parent / f"before-restore-{stamp}"
            kept.mkdir(mode=0o700)
        partial = store.with_name(f".{store.name}.partial")
        _remove(partial)
        shutil.copyfile(path, partial)
        with closing(sqlite_file.connect(partial)) as connection:
            connection.execute("DROP TABLE snapshot")
            revision = max(newest, summary.revision) + BUMP_REVISIONS
            sqlite_file.set_revisions(connection, last=revision, compacted=revision)
            connection.execute("PRAGMA journal_mode = DELETE")
        _flush(partial)
        if kept is not None:
            for suffix in ("", "-wal", "-shm"):
                part = store.with_name(store.name + suffix)
                if part.exists():
                    part.rename(kept / part.name)
        partial.rename(store)
        _flush(store.parent)
    except (OSError, sqlite3.Error) as error:
        raise SnapshotError(f"{store}: {error}") from error
    finally:
        lock.release()
    return summary, kept


def _digest(entries: Iterable[Entry]) -> str:
    total = hashlib.sha256()
    for item, _ in entries:
        for part in (item.key.encode(), b"%d" % item.mod_revision, b"%d" % item.create_revision, item.value):
            total.update(b"%d:" % len(part))
            total.update(part)
    return total.hexdigest()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
