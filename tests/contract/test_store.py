"""What every Backend guarantees, stated once and run on each: memory, SQLite and etcd."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.etcd import members
from tiphys.store.backend import (
    DELETE,
    FIRST_REVISION,
    PUT,
    Backend,
    Compacted,
    Event,
    FutureRevision,
    KeyValue,
    RevisionMismatch,
    StoreClosed,
)
from tiphys.store.etcd import EtcdBackend
from tiphys.store.memory import MemoryBackend
from tiphys.store.sqlite import SqliteBackend
from tiphys.store.upkeep import Retention
from tiphys.testing.clock import FakeClock

PODS = "/registry/core/pods/"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["memory", "sqlite", "etcd"])
def make(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Iterator[Callable[[Retention], Backend]]:
    if request.param == "memory":
        yield lambda retention: MemoryBackend(clock=clock, retention=retention)
    elif request.param == "sqlite":
        yield lambda retention: SqliteBackend(tmp_path / "state.db", clock=clock, retention=retention)
    else:
        [member] = members(tmp_path)
        yield lambda retention: EtcdBackend([member.endpoint], root="/", clock=clock, retention=retention)
        member.kill()


@pytest.fixture
async def store(make: Callable[[Retention], Backend]) -> AsyncIterator[Backend]:
    backend = make(Retention())
    await backend.start()
    yield backend
    await backend.close()


async def put(store: Backend, key: str, text: str = "x", expected: int | None = None) -> KeyValue:
    return await store.put(key, text.encode() + b"@", b"!", expected=expected)


async def take(events: AsyncIterator[list[Event]], count: int) -> list[Event]:
    taken: list[Event] = []
    async with asyncio.timeout(10):
        async for batch in events:
            assert batch
            taken += batch
            if len(taken) >= count:
                break
    await events.aclose()  # type: ignore[attr-defined]
    return taken


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)


async def test_an_empty_store_has_the_first_revision(store: Backend) -> None:
    assert store.revision == FIRST_REVISION
    assert await store.get(PODS + "a/b") is None
    assert await store.list("/registry/") == ([], FIRST_REVISION, 0)


async def test_a_value_carries_its_revision(store: Backend) -> None:
    item = await store.put("/k", b'{"rv":"', b'"}', expected=0)
    assert item == KeyValue("/k", b'{"rv":"2"}', 2, 2)
    assert await store.get("/k") == item
    assert store.revision == 2


async def test_an_update_keeps_the_create_revision(store: Backend) -> None:
    first = await put(store, "/k")
    second = await put(store, "/k", "y", expected=first.mod_revision)
    assert (second.create_revision, second.mod_revision) == (first.mod_revision, first.mod_revision + 1)


async def test_create_of_an_existing_key_is_refused(store: Backend) -> None:
    first = await put(store, "/k", expected=0)
    with pytest.raises(RevisionMismatch) as caught:
        await put(store, "/k", expected=0)
    assert caught.value.current == first
    assert store.revision == first.mod_revision


async def test_update_at_another_revision_is_refused(store: Backend) -> None:
    first = await put(store, "/k")
    with pytest.raises(RevisionMismatch) as caught:
        await put(store, "/k", expected=first.mod_revision + 7)
    assert caught.value.current == first


async def test_update_of_an_absent_key_is_refused(store: Backend) -> None:
    with pytest.raises(RevisionMismatch) as caught:
        await put(store, "/k", expected=3)
    assert caught.value.current is None


async def test_delete_returns_the_value_and_its_own_revision(store: Backend) -> None:
    first = await put(store, "/k", "v")
    gone = await store.delete("/k", expected=first.mod_revision)
    assert gone == replace(first, mod_revision=first.mod_revision + 1)
    assert store.revision == gone.mod_revision
    assert await store.get("/k") is None


async def test_delete_of_an_absent_key_is_refused(store: Backend) -> None:
    for expected in (None, 0, 5):
        with pytest.raises(RevisionMismatch) as caught:
            await store.delete("/k", expected=expected)
        assert caught.value.current is None


async def test_a_key_made_again_is_new(store: Backend) -> None:
    await put(store, "/k")
    await store.delete("/k", expected=None)
    again = await put(store, "/k", expected=0)
    assert again.create_revision == again.mod_revision == 4


async def test_of_concurrent_creates_one_wins(store: Backend) -> None:
    outcomes = await asyncio.gather(*(put(store, "/k", str(n), expected=0) for n in range(20)), return_exceptions=True)
    won = [outcome for outcome in outcomes if isinstance(outcome, KeyValue)]
    assert len(won) == 1
    lost = [outcome for outcome in outcomes if isinstance(outcome, RevisionMismatch)]
    assert len(lost) == 19
    assert {loss.current for loss in lost} == {won[0]}


async def test_of_concurrent_deletes_one_wins(store: Backend) -> None:
    await put(store, "/k")
    outcomes = await asyncio.gather(*(store.delete("/k", expected=None) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(outcome, KeyValue) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, RevisionMismatch) for outcome in outcomes) == 4


async def test_concurrent_blind_writes_all_happen_in_order(store: Backend) -> None:
    items = await asyncio.gather(*(put(store, "/k", str(n)) for n in range(50)))
    assert [item.mod_revision for item in items] == list(range(2, 52))
    assert await store.get("/k") == items[-1]
    events = await take(store.watch("/k", FIRST_REVISION), 50)
    assert [event.previous for event in events] == [None] + [item.value for item in items[:-1]]


async def test_list_is_sorted_and_by_prefix(store: Backend) -> None:
    for key in ("/a/2", "/b/1", "/a/10", "/a/1", "/a"):
        await put(store, key)
    assert [item.key for item in (await store.list("/a/")).items] == ["/a/1", "/a/10", "/a/2"]
    assert [item.key for item in (await store.list("/a")).items] == ["/a", "/a/1", "/a/10", "/a/2"]
    await store.delete("/a/10", expected=None)
    await put(store, "/a/0")
    assert [item.key for item in (await store.list("/a/")).items] == ["/a/0", "/a/1", "/a/2"]


@pytest.mark.parametrize("changed_meanwhile", [False, True])
async def test_pages_are_of_one_revision(store: Backend, changed_meanwhile: bool) -> None:
    before = [await put(store, f"/a/{n}", f"old{n}") for n in range(7)]
    await put(store, "/b/0")
    page = await store.list("/a/", limit=3)
    assert (page.items, page.remaining) == (before[:3], 4)
    if changed_meanwhile:
        await store.delete("/a/4", expected=None)
        await put(store, "/a/5", "new")
        await put(store, "/a/45", "new")
    page2 = await store.list("/a/", revision=page.revision, limit=3, after=page.items[-1].key)
    assert page2 == (before[3:6], page.revision, 1)
    page3 = await store.list("/a/", revision=page.revision, limit=3, after=page2.items[-1].key)
    assert page3 == (before[6:], page.revision, 0)


async def test_a_list_of_the_past_sees_the_past(store: Backend) -> None:
    first = await put(store, "/a/1", "one")
    second = await put(store, "/a/1", "two")
    gone = await store.delete("/a/1", expected=None)
    assert (await store.list("/a/", revision=first.mod_revision)).items == [first]
    assert (await store.list("/a/", revision=second.mod_revision)).items == [second]
    assert (await store.list("/a/", revision=gone.mod_revision)).items == []


async def test_a_list_of_the_future_is_refused(store: Backend) -> None:
    with pytest.raises(FutureRevision) as caught:
        await store.list("/", revision=store.revision + 1)
    assert caught.value.revision == store.revision


async def test_watch_resumes_from_history_and_goes_on_live(store: Backend) -> None:
    await put(store, "/a/1", "one")
    await put(store, "/b/1", "other")
    start = store.revision
    await put(store, "/a/1", "two")
    await store.delete("/a/1", expected=None)
    await put(store, "/a/1", "three")
    watch = store.watch("/a/", start)
    past = await anext(watch)
    while len(past) < 3:
        past += await anext(watch)
    waiting = asyncio.ensure_future(anext(watch))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    await put(store, "/b/1", "other")
    await put(store, "/a/2", "four")
    assert past == [
        Event(PUT, "/a/1", b"two@4!", b"one@2!", 4, False),
        Event(DELETE, "/a/1", b"", b"two@4!", 5, False),
        Event(PUT, "/a/1", b"three@6!", None, 6, True),
    ]
    assert await waiting == [Event(PUT, "/a/2", b"four@8!", None, 8, True)]
    await watch.aclose()  # type: ignore[attr-defined]


async def test_list_then_watch_misses_nothing(store: Backend) -> None:
    async def write() -> None:
        for n in range(100):
            await put(store, f"/a/{n % 10}", str(n))
            await asyncio.sleep(0)

    writer = asyncio.ensure_future(write())
    await until(lambda: store.revision > 30)
    page = await store.list("/a/")
    state = {item.key: item.value for item in page.items}
    events = await take(store.watch("/a/", page.revision), 101 - page.revision)
    await writer
    assert [event.revision for event in events] == list(range(page.revision + 1, 102))
    for event in events:
        assert event.previous == state.get(event.key)
        state[event.key] = event.value
    assert state == {item.key: item.value for item in (await store.list("/a/")).items}


async def test_a_watcher_has_the_event_when_the_write_returns(store: Backend) -> None:
    watch = store.watch("/", store.revision)
    waiting = asyncio.ensure_future(anext(watch))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    done: list[str] = []
    waiting.add_done_callback(lambda _: done.append("watch"))
    await put(store, "/k")
    assert store.revision == 2
    await waiting
    await watch.aclose()  # type: ignore[attr-defined]


async def test_a_watch_from_the_future_starts_there(store: Backend) -> None:
    watch = store.watch("/", store.revision + 2)
    waiting = asyncio.ensure_future(anext(watch))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    for n in range(3):
        await put(store, "/k", str(n))
    assert [event.revision for event in await waiting] == [4]
    await watch.aclose()  # type: ignore[attr-defined]


async def test_many_watchers_see_only_their_prefix(store: Backend) -> None:
    prefixes = ["/", "/a/", "/a/n1/", "/a/n1/x", "/b/", "/a"]
    keys = ["/a/n1/x", "/a/n2/y", "/b/z", "/a/n1/x2"]
    watches = {prefix: store.watch(prefix, store.revision) for prefix in prefixes}
    waits = {prefix: asyncio.ensure_future(take(watch, sum(k.startswith(prefix) for k in keys)))
             for prefix, watch in watches.items()}  # fmt: skip
    await asyncio.sleep(0)
    for key in keys:
        await put(store, key)
    for prefix, wait in waits.items():
        assert [event.key for event in await wait] == [key for key in keys if key.startswith(prefix)]


async def test_a_slow_watcher_misses_nothing(store: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tiphys.store.watch.MAXIMUM_BUFFERED_EVENTS", 10)
    monkeypatch.setattr("tiphys.store.watch.HISTORY_CHUNK_EVENTS", 7)
    watch = store.watch("/", store.revision)
    first = asyncio.ensure_future(anext(watch))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    await put(store, "/k")
    events = list(await first)
    for n in range(40):
        await put(store, "/k", str(n))
    events += await take(watch, 40)
    assert [event.revision for event in events] == list(range(2, 43))


async def test_compaction_forgets_the_past_and_keeps_the_present(store: Backend) -> None:
    kept = await put(store, "/a/kept", "old")
    await put(store, "/a/1", "one")
    await put(store, "/a/1", "two")
    await store.delete("/a/1", expected=None)
    at = store.revision
    after = await put(store, "/a/2", "later")
    await store.compact(at)
    assert store.compacted_revision == at
    with pytest.raises(Compacted) as caught:
        await store.list("/a/", revision=at - 1)
    assert caught.value.revision == at
    with pytest.raises(Compacted):
        await anext(store.watch("/a/", at - 1))
    assert (await store.list("/a/", revision=at)).items == [kept]
    assert (await store.list("/a/")).items == [after, kept]
    assert [event.revision for event in await take(store.watch("/a/", at), 1)] == [after.mod_revision]


async def test_compaction_does_not_take_what_a_later_event_replaced(store: Backend) -> None:
    await put(store, "/k", "one")
    await store.compact(store.revision)
    at = store.revision
    await put(store, "/k", "two")
    await store.delete("/k", expected=None)
    events = await take(store.watch("/", at), 2)
    assert [event.previous for event in events] == [b"one@2!", b"two@3!"]
    await store.compact(store.revision)
    assert (await store.list("/")).items == []
    again = await put(store, "/k", "three", expected=0)
    assert again.create_revision == 5


async def test_compaction_is_idempotent_and_never_in_the_future(store: Backend) -> None:
    await put(store, "/k")
    await store.compact(1_000)
    await store.compact(1)
    assert store.compacted_revision == store.revision == 2


async def test_a_key_expires(store: Backend, clock: FakeClock) -> None:
    await store.put("/k", b"", b"", expected=0, ttl_seconds=60)
    await store.put("/stays", b"", b"", expected=0)
    watch = store.watch("/", store.revision)
    waiting = asyncio.ensure_future(anext(watch))  # type: ignore[arg-type]
    await clock.advance(59)
    assert await store.get("/k") is not None
    await clock.advance(7)
    async with asyncio.timeout(5):
        events = await waiting
    assert [(event.type, event.key) for event in events] == [(DELETE, "/k")]
    await watch.aclose()  # type: ignore[attr-defined]
    assert [item.key for item in (await store.list("/")).items] == ["/stays"]


async def test_a_write_renews_or_ends_the_time_to_live(store: Backend, clock: FakeClock) -> None:
    await store.put("/renewed", b"", b"", expected=0, ttl_seconds=60)
    await store.put("/kept", b"", b"", expected=0, ttl_seconds=60)
    await store.put("/short", b"", b"", expected=0, ttl_seconds=600)
    await clock.advance(50)
    await store.put("/renewed", b"", b"", expected=None, ttl_seconds=60)
    await store.put("/kept", b"", b"", expected=None)
    await store.put("/short", b"", b"", expected=None, ttl_seconds=1)
    await clock.advance(30)
    async with asyncio.timeout(5):
        while await store.get("/short"):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    assert [item.key for item in (await store.list("/")).items] == ["/kept", "/renewed"]


async def test_history_is_compacted_by_age(store: Backend, clock: FakeClock) -> None:
    await put(store, "/k", "one")
    await put(store, "/k", "two")
    await clock.advance(299)
    assert store.compacted_revision == 0
    async with asyncio.timeout(10):
        while store.compacted_revision < 3:
            await clock.advance(60)


async def test_history_is_compacted_by_size(make: Callable[[Retention], Backend]) -> None:
    store = make(Retention(history_bytes=10_000, kept_revisions=5))
    await store.start()
    for _ in range(30):
        await put(store, "/k", "x" * 1_000)
    await until(lambda: store.compacted_revision > 1)
    assert store.compacted_revision <= store.revision - 5
    await store.close()


async def test_close_ends_watches_and_refuses_writes(make: Callable[[Retention], Backend]) -> None:
    store = make(Retention())
    await store.start()
    watch = store.watch("/", store.revision)
    waiting = asyncio.ensure_future(anext(watch, None))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    await store.close()
    assert await waiting is None
    with pytest.raises(StoreClosed):
        await put(store, "/k")
    await store.close()
