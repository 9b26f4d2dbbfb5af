"""Snapshots: what is saved comes back, from any store into any other, and nothing is overwritten in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.etcd import members
from tiphys.store import snapshot
from tiphys.store.backend import Backend, Compacted, KeyValue, StoreLocked
from tiphys.store.etcd import EtcdBackend
from tiphys.store.etcd_snapshot import EtcdArchive
from tiphys.store.snapshot import BUMP_REVISIONS, SnapshotError
from tiphys.store.sqlite import SqliteBackend

WHEN = "2026-01-02T03:04:05Z"
HEAD, TAIL = b'{"metadata":{"name":"a","resourceVersion":"', b'"},"data":{"k":"v"}}'


async def fill(store: Backend, names: str = "abc") -> list[KeyValue]:
    for name in names:
        await store.put(f"/registry/core/configmaps/default/{name}", HEAD, TAIL, expected=0)
    changed = await store.get(f"/registry/core/configmaps/default/{names[0]}")
    assert changed is not None
    await store.put(changed.key, HEAD, TAIL, expected=changed.mod_revision)
    await store.put("/registry/core/events/default/e", HEAD, TAIL, expected=0, ttl_seconds=3600)
    await store.put("/registry/core/configmaps/default/gone", HEAD, TAIL, expected=0)
    await store.delete("/registry/core/configmaps/default/gone", expected=None)
    return (await store.list("/")).items


async def test_a_running_store_is_saved_and_restored_elsewhere(tmp_path: Path) -> None:
    file, other = tmp_path / "one.snapshot", tmp_path / "other" / "state.db"
    store = SqliteBackend(tmp_path / "state.db")
    await store.start()
    before = await fill(store)
    summary = snapshot.save_sqlite(tmp_path / "state.db", file, WHEN)
    saved_at = store.revision
    await store.close()
    assert (summary.revision, summary.keys) == (saved_at, len(before))
    assert file.stat().st_mode & 0o777 == 0o600
    assert snapshot.read(file)[0] == summary

    snapshot.restore_sqlite(file, other, overwrite=False, stamp="now")
    again = SqliteBackend(other)
    await again.start()
    assert (await again.list("/")).items == before
    assert again.revision == saved_at + BUMP_REVISIONS
    with pytest.raises(Compacted):
        await anext(again.watch("/", saved_at))
    item = await again.put("/registry/core/configmaps/default/new", HEAD, TAIL, expected=0)
    assert item.mod_revision == saved_at + BUMP_REVISIONS + 1
    await again.close()


async def test_state_is_replaced_only_when_told_to_and_kept(tmp_path: Path) -> None:
    file, path = tmp_path / "one.snapshot", tmp_path / "store" / "state.db"
    store = SqliteBackend(path)
    await store.start()
    before = await fill(store)
    snapshot.save_sqlite(path, file, WHEN)
    with pytest.raises(StoreLocked):
        snapshot.restore_sqlite(file, path, overwrite=True, stamp="now")
    await store.delete("/registry/core/configmaps/default/a", expected=None)
    late = store.revision
    await store.close()

    with pytest.raises(SnapshotError, match="--overwrite"):
        snapshot.restore_sqlite(file, path, overwrite=False, stamp="now")
    _, kept = snapshot.restore_sqlite(file, path, overwrite=True, stamp="now")
    assert kept == path.parent / "before-restore-now"
    assert (kept / "state.db").exists()
    store = SqliteBackend(path)
    await store.start()
    assert (await store.list("/")).items == before
    assert store.revision > late
    await store.close()


async def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "one.snapshot"
    file.write_text("mine")
    with pytest.raises(SnapshotError, match="is there already"):
        snapshot.write(file, [], revision=1, taken_at=WHEN, source="sqlite")
    assert file.read_text() == "mine"


async def test_damage_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "one.snapshot"
    store = SqliteBackend(tmp_path / "state.db")
    await store.start()
    await fill(store)
    await store.close()
    snapshot.save_sqlite(tmp_path / "state.db", file, WHEN)
    content = file.read_bytes()
    place = content.index(b'"k":"v"')
    file.write_bytes(content[:place] + b'"k":"w"' + content[place + 7 :])
    with pytest.raises(SnapshotError, match="damaged"):
        snapshot.read(file)
    file.write_bytes(b"no snapshot at all")
    with pytest.raises(SnapshotError, match="no snapshot"):
        snapshot.read(file)
    file.write_bytes(b"")
    with pytest.raises(SnapshotError):
        snapshot.read(file)


async def test_etcd_takes_what_sqlite_had_and_gives_it_back(tmp_path: Path) -> None:
    [member] = members(tmp_path)
    try:
        sqlite, first, second = tmp_path / "state.db", tmp_path / "first.snapshot", tmp_path / "second.snapshot"
        store = SqliteBackend(sqlite)
        await store.start()
        before = await fill(store, "abcdefgh")
        await store.close()
        snapshot.save_sqlite(sqlite, first, WHEN)

        live = EtcdBackend([member.endpoint])
        await live.start()
        await live.put("/registry/core/configmaps/default/stale", HEAD, TAIL, expected=0)
        summary, entries = snapshot.read(first)
        async with EtcdArchive((member.endpoint,), tls=None, prefix="") as archive:
            await archive.replace(entries, summary.revision)
            revision, present = await archive.read()
        assert "restored" in await live.failure
        await live.close()
        snapshot.write(second, present, revision=revision, taken_at=WHEN, source="etcd")

        fresh = EtcdBackend([member.endpoint])
        await fresh.start()
        found = (await fresh.list("/registry/")).items
        assert [item.key for item in found] == [item.key for item in before]
        assert all(b'"resourceVersion":"%d"' % item.mod_revision in item.value for item in found)
        assert min(item.mod_revision for item in found) > summary.revision
        assert [entry.item for entry in snapshot.read(second)[1]] == found
        assert [entry.expires_at is not None for entry in present] == [False] * 8 + [True]
        await fresh.close()
    finally:
        member.kill()
