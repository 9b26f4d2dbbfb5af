"""What SQLite adds to the contract: nothing acknowledged is lost, whatever happens to the process or the disk."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tiphys.store import sqlite_file
from tiphys.store.backend import KeyValue, RevisionMismatch, StoreError, StoreLocked, WriteFailed
from tiphys.store.sqlite import SqliteBackend
from tiphys.store.upkeep import Retention
from tiphys.testing.clock import FakeClock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "state.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteBackend]:
    backend = SqliteBackend(path)
    await backend.start()
    yield backend
    await backend.close()


async def reopened(path: Path, clock: FakeClock | None = None) -> SqliteBackend:
    backend = SqliteBackend(path, clock=clock)
    await backend.start()
    return backend


async def test_nobody_else_reads_its_files(store: SqliteBackend, path: Path) -> None:
    await store.put("/k", b"v", b"", expected=0)
    assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}


async def test_all_is_there_after_a_restart(path: Path) -> None:
    store = await reopened(path)
    items = [await store.put(f"/k/{n}", b"v", b"", expected=0) for n in range(10)]
    await store.delete("/k/3", expected=None)
    await store.close()
    store = await reopened(path)
    assert store.revision == 12
    assert (await store.list("/")).items == [item for item in items if item.key != "/k/3"]
    assert (await store.list("/", revision=11)).items == items
    events = await anext(store.watch("/", 1))
    assert [event.revision for event in events] == list(range(2, 13))
    await store.close()


async def test_the_revision_survives_deletion_of_everything_and_compaction(path: Path) -> None:
    store = await reopened(path)
    await store.put("/k", b"", b"", expected=0)
    last = await store.delete("/k", expected=None)
    await store.compact(last.mod_revision)
    await store.close()
    store = await reopened(path)
    assert (store.revision, store.compacted_revision) == (last.mod_revision, last.mod_revision)
    assert (await store.put("/k", b"", b"", expected=0)).mod_revision == last.mod_revision + 1
    await store.close()


async def test_an_interrupted_compaction_is_completed_by_the_next(path: Path) -> None:
    store = await reopened(path)
    for _ in range(10):
        await store.put("/k", b"", b"", expected=None)
    await store.close()
    connection = sqlite_file.connect(path)
    assert sqlite_file.begin_compaction(connection, 6) == 0
    sqlite_file.scrub(connection, 0, 3)
    connection.close()
    store = await reopened(path)
    assert store.compacted_revision == 6
    await store.compact(11)
    await store.close()
    rows = sqlite3.connect(path)
    assert rows.execute("SELECT revision FROM history").fetchall() == [(11,)]
    rows.close()


async def test_expiry_survives_a_restart(path: Path) -> None:
    clock = FakeClock()
    store = await reopened(path, clock)
    await store.put("/k", b"", b"", expected=0, ttl_seconds=60)
    await store.put("/renewed", b"", b"", expected=0, ttl_seconds=60)
    await store.put("/renewed", b"", b"", expected=None)
    await store.close()
    await clock.advance(100)
    store = await reopened(path, clock)
    async with asyncio.timeout(10):
        while len((await store.list("/")).items) > 1:
            await clock.advance(1)
    assert await store.get("/renewed") is not None
    await store.close()


async def test_data_in_use_cannot_be_opened_twice(path: Path, store: SqliteBackend) -> None:
    second = SqliteBackend(path)
    with pytest.raises(StoreLocked, match=r"in use by another process \(pid \d+\)"):
        await second.start()
    await second.close()
    await store.put("/k", b"", b"", expected=0)


async def test_a_file_that_is_no_store_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database" * 1_000)
    with pytest.raises(StoreError, match="not a database"):
        await reopened(path)
    path.unlink()
    other = sqlite3.connect(path)
    other.execute("PRAGMA user_version = 7")
    other.close()
    with pytest.raises(StoreError, match="not a store of this version"):
        await reopened(path)


def limit_pages(store: SqliteBackend, pages: int) -> object:
    """Make the disk full, or not: SQLite refuses to grow the file beyond `pages`."""
    return store._writer.run(lambda file: file.execute(f"PRAGMA max_page_count = {pages}").fetchone())


async def test_a_full_disk_fails_the_batch_and_nothing_else(path: Path, store: SqliteBackend) -> None:
    kept = await store.put("/kept", b"v", b"", expected=0)
    await limit_pages(store, 1)  # type: ignore[misc]
    big = b"x" * 100_000
    outcomes = await asyncio.gather(
        *(store.put(f"/big/{n}", big, b"", expected=0) for n in range(5)),
        store.put("/big/0", b"on top of one that fails", b"", expected=None),
        return_exceptions=True,
    )
    assert all(isinstance(outcome, WriteFailed) for outcome in outcomes)
    assert store.revision == kept.mod_revision
    assert (await store.list("/")).items == [kept]
    with pytest.raises(RevisionMismatch):
        await store.put("/kept", b"", b"", expected=0)
    await limit_pages(store, 1_000_000)  # type: ignore[misc]
    after = await store.put("/big/0", b"now", b"", expected=0)
    assert after.create_revision == after.mod_revision > kept.mod_revision
    await store.close()
    again = await reopened(path)
    assert (await again.list("/")).items == [after, kept]
    await again.close()


async def test_a_create_waits_for_the_outcome_of_the_one_in_flight(store: SqliteBackend) -> None:
    await limit_pages(store, 1)  # type: ignore[misc]
    doomed = asyncio.ensure_future(store.put("/k", b"x" * 100_000, b"", expected=0))
    await asyncio.sleep(0)
    second = asyncio.ensure_future(store.put("/k", b"small", b"", expected=0))
    await asyncio.sleep(0)
    lifted = asyncio.ensure_future(limit_pages(store, 1_000_000))  # type: ignore[arg-type]
    with pytest.raises(WriteFailed):
        await doomed
    await lifted
    item = await second
    assert item.create_revision == item.mod_revision


async def test_a_write_on_top_of_a_failed_one_in_an_earlier_batch_fails(store: SqliteBackend) -> None:
    await limit_pages(store, 1)  # type: ignore[misc]
    doomed = asyncio.ensure_future(store.put("/k", b"x" * 100_000, b"", expected=0))
    await asyncio.sleep(0)
    lifted = asyncio.ensure_future(limit_pages(store, 1_000_000))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    update = asyncio.ensure_future(store.put("/k", b"update", b"", expected=2))
    other = asyncio.ensure_future(store.put("/other", b"", b"", expected=0))
    outcomes = await asyncio.gather(doomed, update, other, lifted, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes[:3]] == [WriteFailed, WriteFailed, KeyValue]
    assert await store.get("/k") is None


async def test_a_cancelled_caller_leaves_the_store_sound(store: SqliteBackend) -> None:
    call = asyncio.ensure_future(store.put("/k", b"", b"", expected=0))
    await asyncio.sleep(0)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    with pytest.raises(RevisionMismatch):
        await store.put("/k", b"", b"", expected=0)


async def test_the_file_stays_bounded(path: Path) -> None:
    store = SqliteBackend(path, retention=Retention(history_bytes=1 << 62))
    await store.start()
    for _ in range(30):
        await asyncio.gather(*(store.put(f"/k/{n}", b"x" * 4_000, b"", expected=None) for n in range(100)))
    grown = path.stat().st_size + path.with_name("state.db-wal").stat().st_size
    await store.compact(store.revision)
    await store.close()
    assert grown > 10_000_000
    assert path.stat().st_size < 6_000_000
    store = await reopened(path)
    assert len((await store.list("/")).items) == 100
    await store.close()


async def test_reads_of_history_do_not_wait_for_writes(store: SqliteBackend) -> None:
    for n in range(20):
        await store.put("/k", str(n).encode(), b"", expected=None)
    writes = [asyncio.ensure_future(store.put(f"/w/{n}", b"x" * 1000, b"", expected=0)) for n in range(2_000)]
    await asyncio.sleep(0)
    page = await store.list("/k", revision=10)
    assert [item.mod_revision for item in page.items] == [10]
    await asyncio.gather(*writes)


@pytest.mark.parametrize("writers", [1, 40])
def test_every_acknowledged_write_survives_kill_9(path: Path, writers: int) -> None:
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("store_writer.py")), str(path), str(writers)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(300 if writers == 1 else 4_000)]
    process.kill()
    lines += process.stdout.readlines()
    process.stdout.close()
    process.wait()
    acknowledged: dict[str, tuple[str, int]] = {}
    for line in lines:
        if line.endswith("\n"):
            action, key, revision = line.split()
            if int(revision) > acknowledged.get(key, ("", 0))[1]:
                acknowledged[key] = (action, int(revision))
    asyncio.run(_check_survivors(path, acknowledged))


async def _check_survivors(path: Path, acknowledged: dict[str, tuple[str, int]]) -> None:
    store = await reopened(path)
    newest = {item.key: item for item in (await store.list("/")).items}
    assert store.revision >= max(revision for _, revision in acknowledged.values())
    for key, (action, revision) in acknowledged.items():
        item = newest.get(key)
        # What was in flight at the kill may be there as well, hence the comparison.
        if item is not None and item.mod_revision >= revision:
            assert item.value.endswith(b"@%d" % item.mod_revision)
        else:
            assert item is None
            assert action == "-" or (await _deleted_after(store, key, revision))
    await store.close()


async def _deleted_after(store: SqliteBackend, key: str, revision: int) -> bool:
    events = store.watch(key, store.compacted_revision)
    batch = await anext(events)
    await events.aclose()  # type: ignore[attr-defined]
    return any(event.key == key and event.revision > revision and event.value == b"" for event in batch)
