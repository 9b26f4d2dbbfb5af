"""The SQLite file: its schema, lock and statements. Synchronous; called from the writer's or the reader's thread.

One row a write. A row is superseded once a newer one has its key; a compaction at R removes the rows up to R that were
superseded by R, and the deletions up to R.

    history: revision (the rowid) | key | value (NULL: deletion) | create_revision (0: deletion) | previous_revision
             (the row it superseded, 0 for a create) | expires_at (epoch seconds or NULL)
    meta:    last_revision (survives what compaction removes) | compacted_revision | scrubbed_revision (how far
             the removal got: a compaction that was interrupted is completed by the next)
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from tiphys.store.backend import DELETE, FIRST_REVISION, PUT, Compacted, Event, KeyValue, Page, StoreError, StoreLocked
from tiphys.store.keyspace import prefix_end

_APPLICATION_ID = 0x54495048  # "TIPH"
_SCHEMA_VERSION = 1
_WAL_BYTES = 64 << 20
_SCHEMA = """
CREATE TABLE history (
  revision INTEGER PRIMARY KEY, key TEXT NOT NULL, value BLOB, create_revision INTEGER NOT NULL,
  previous_revision INTEGER NOT NULL, expires_at REAL
);
CREATE INDEX history_by_key ON history (key, revision, create_revision);
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""
# max() makes SQLite take the other columns from the same row; the index covers all three.
_NEWEST = """SELECT key, max(revision) AS newest, create_revision AS created FROM history
  WHERE key >= :first AND key > :after AND key < :end AND revision <= :at GROUP BY key HAVING created > 0"""
_LIST = f"""SELECT h.key, h.value, h.create_revision, h.revision FROM ({_NEWEST} ORDER BY key LIMIT :limit) AS n
  JOIN history AS h ON h.revision = n.newest ORDER BY h.key"""
_COUNT = f"SELECT count(*) FROM ({_NEWEST})"
# The unary plus keeps the planner on the rowid: a watch reads a range of revisions.
_EVENTS = """SELECT h.revision, h.key, h.value, h.create_revision, p.value FROM history AS h
  LEFT JOIN history AS p ON p.revision = h.previous_revision
  WHERE h.revision > ? AND h.revision <= ? AND +h.key >= ? AND +h.key < ? ORDER BY h.revision LIMIT ?"""
_EVERYTHING = 1 << 62

Row = tuple[int, str, bytes | None, int, int, float | None]
"""A history row, in the order of its columns."""


class Loaded(NamedTuple):
    """What is in the file when it is opened."""

    items: list[KeyValue]
    expiries: list[tuple[str, int, float]]
    revision: int
    compacted_revision: int


class FileLock:
    """Held while a process has the data open; released by the kernel if it dies."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._descriptor)
            raise StoreLocked(f"{path}: the data is in use by another process (pid {holder})") from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        os.close(self._descriptor)


def connect(path: Path) -> sqlite3.Connection:
    """Open the file durable and in WAL mode, making the schema if it is new. Raises StoreError if it is not ours."""
    # Autocommit: one INSERT is one transaction is one release of the interpreter's lock.
    # Secrets are in it: SQLite gives its other files the permissions of this one.
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        path.chmod(0o600)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=96)
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
        if version == 0:
            connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA application_id = {_APPLICATION_ID}; "
                                     f"PRAGMA user_version = {_SCHEMA_VERSION}; COMMIT")  # fmt: skip
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.Error as error:
        connection.close()
        raise StoreError(f"{path}: {error}") from error
    if application != _APPLICATION_ID or version != _SCHEMA_VERSION:
        connection.close()
        raise StoreError(f"{path}: not a store of this version (application {application:#x}, schema {version})")
    return connection


def load(connection: sqlite3.Connection) -> Loaded:
    """Everything live, in key order."""
    # What was never changed has one revision, kept once.
    items = [
        KeyValue(key, value, newest if created == newest else created, newest)
        for key, value, created, newest in connection.execute(_LIST, _range("", "", _EVERYTHING, _EVERYTHING))
    ]
    live = {item.mod_revision for item in items}
    expiring = connection.execute("SELECT key, revision, expires_at FROM history WHERE expires_at IS NOT NULL")
    meta = _meta(connection)
    return Loaded(
        items, [row for row in expiring if row[1] in live], _newest(connection), meta.get("compacted_revision", 0)
    )


@cache
def _insert(rows: int) -> str:
    return "INSERT INTO history VALUES " + ",".join(["(?,?,?,?,?,?)"] * rows)


def append(connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
    """Write all rows durably, or none. One statement is one transaction."""
    connection.execute(_insert(len(rows)), [column for row in rows for column in row])


def read_page(connection: sqlite3.Connection, prefix: str, revision: int, limit: int, after: str) -> Page:
    """`Backend.list` at a past revision. Raises Compacted."""
    connection.execute("BEGIN")
    try:
        _refuse_compacted(connection, revision)
        arguments = _range(prefix, after, revision, limit or _EVERYTHING)
        items = [KeyValue(*row) for row in connection.execute(_LIST, arguments)]
        remaining = 0
        if limit and len(items) == limit:
            arguments["after"] = items[-1].key
            (remaining,) = connection.execute(_COUNT, arguments).fetchone()
        return Page(items, revision, remaining)
    finally:
        connection.execute("COMMIT")


def read_events(connection: sqlite3.Connection, prefix: str, after: int, up_to: int, limit: int) -> list[Event]:
    """See `watch.ReadHistory`."""
    connection.execute("BEGIN")
    try:
        _refuse_compacted(connection, after)
        rows = connection.execute(_EVENTS, (after, up_to, prefix, prefix_end(prefix), limit))
        return [
            Event(PUT if created else DELETE, key, value or b"", previous, revision, created == revision)
            for revision, key, value, created, previous in rows
        ]
    finally:
        connection.execute("COMMIT")


def begin_compaction(connection: sqlite3.Connection, revision: int) -> int:
    """Make `revision` the oldest there is; returns the revision from which rows are to be scrubbed."""
    newest = _newest(connection)
    scrubbed = _meta(connection).get("scrubbed_revision", 0)
    connection.execute(
        "INSERT OR REPLACE INTO meta VALUES ('compacted_revision', ?), ('last_revision', ?), ('scrubbed_revision', ?)",
        (revision, newest, scrubbed),
    )
    return scrubbed


def scrub(connection: sqlite3.Connection, after: int, up_to: int) -> None:
    """Remove the rows superseded by those with after < revision <= up_to, and the deletions among these."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(
            "DELETE FROM history WHERE revision IN (SELECT previous_revision FROM history WHERE revision > ?"
            " AND revision <= ? AND previous_revision > 0)",
            (after, up_to),
        )
        connection.execute(
            "DELETE FROM history WHERE revision > ? AND revision <= ? AND create_revision = 0", (after, up_to)
        )
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('scrubbed_revision', ?)", (up_to,))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def shrink(connection: sqlite3.Connection, pages: int) -> bool:
    """Return up to `pages` unused pages to the filesystem; False when few enough are left to be worth keeping."""
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    (total,) = connection.execute("PRAGMA page_count").fetchone()
    if free < 1_000 or free < total // 4:
        return False
    connection.execute(f"PRAGMA incremental_vacuum({pages})").fetchall()
    return True


def set_revisions(connection: sqlite3.Connection, *, last: int, compacted: int) -> None:
    """Say how far the revisions are, whatever the rows are, and up to where history is gone."""
    connection.execute(
        "INSERT OR REPLACE INTO meta VALUES ('compacted_revision', ?), ('last_revision', ?), ('scrubbed_revision', ?)",
        (compacted, last, compacted),
    )


def _range(prefix: str, after: str, revision: int, limit: int) -> dict[str, Any]:
    return {"first": prefix, "end": prefix_end(prefix), "after": after, "at": revision, "limit": limit}


def _meta(connection: sqlite3.Connection) -> dict[str, int]:
    return dict(connection.execute("SELECT name, value FROM meta"))


def _newest(connection: sqlite3.Connection) -> int:
    (newest,) = connection.execute("SELECT max(revision) FROM history").fetchone()
    return max(newest or 0, _meta(connection).get("last_revision", 0), FIRST_REVISION)


def _refuse_compacted(connection: sqlite3.Connection, revision: int) -> None:
    compacted = _meta(connection).get("compacted_revision", 0)
    if revision < compacted:
        raise Compacted(compacted)
