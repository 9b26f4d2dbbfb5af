"""Two stores on three etcd members that crash, freeze and forget: nothing acknowledged is lost or seen twice."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.etcd import Member, members
from tiphys.store import etcd_wire as wire
from tiphys.store.backend import (
    DELETE,
    PUT,
    Event,
    KeyValue,
    OutcomeUnknown,
    RevisionMismatch,
    StoreError,
    Unavailable,
)
from tiphys.store.etcd import EtcdBackend
from tiphys.store.etcd_client import EtcdClient
from tiphys.store.etcd_mirror import RESTORING

ROOT = "/registry/"
KEYS = [f"/registry/core/configmaps/ns/k{number}" for number in range(6)]
ENOUGH_WRITES = 100
"""Acknowledged: with fewer a history says little."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Member]]:
    made = members(tmp_path_factory.mktemp("etcd"), 3)
    yield made
    for member in made:
        with contextlib.suppress(ProcessLookupError):
            member.signal(signal.SIGCONT)
        member.kill()


class Etcd(NamedTuple):
    """The members, and a part of their keys that is empty."""

    members: list[Member]
    prefix: str


@pytest.fixture
def etcd(cluster: list[Member], tmp_path: Path) -> Etcd:
    return Etcd(cluster, str(tmp_path))


@contextlib.asynccontextmanager
async def opened(etcd: Etcd, first: int = 0) -> AsyncIterator[EtcdBackend]:
    endpoints = [member.endpoint for member in etcd.members[first:] + etcd.members[:first]]
    backend = EtcdBackend(endpoints, prefix=etcd.prefix)
    await backend.start()
    try:
        yield backend
    finally:
        await backend.close()


class History:
    """What a watcher of everything was told."""

    def __init__(self, store: EtcdBackend) -> None:
        self.events: list[Event] = []
        self._store = store
        self._task = asyncio.create_task(self._read(store.revision))

    async def _read(self, after: int) -> None:
        async for batch in self._store.watch(ROOT, after):
            self.events += batch

    async def upto(self, revision: int) -> list[Event]:
        async with asyncio.timeout(10):
            while not self.events or self.events[-1].revision < revision:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        self._task.cancel()
        return self.events


class Client:
    """Writes and reads through one store, and checks each answer against what anybody was told before it asked."""

    def __init__(self, store: EtcdBackend, told: dict[str, int], rng: random.Random) -> None:
        self.acknowledged: list[tuple[str, KeyValue]] = []
        self.unknown = 0
        self._store = store
        self._told = told
        self._rng = rng

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            key = self._rng.choice(KEYS)
            act = self._rng.choice((self._read, self._write, self._write, self._delete))
            with contextlib.suppress(RevisionMismatch, Unavailable):
                try:
                    await act(key)
                except OutcomeUnknown:
                    self.unknown += 1

    async def _read(self, key: str) -> None:
        known = self._told.get(key, 0)
        at = await self._store.current_revision()
        found = await self._store.get(key)
        assert at >= known, "a read is older than an acknowledged write"
        assert found is None or found.mod_revision >= known

    async def _write(self, key: str) -> None:
        known = self._told.get(key, 0)
        found = await self._store.get(key)
        unique = b"%016x." % self._rng.getrandbits(64)
        kept = await self._store.put(key, unique, b"", expected=found.mod_revision if found else 0)
        assert kept.value == b"%b%d" % (unique, kept.mod_revision)
        assert kept.mod_revision > known
        self._acknowledge("put", kept)

    async def _delete(self, key: str) -> None:
        found = await self._store.get(key)
        gone = await self._store.delete(key, expected=found.mod_revision if found else None)
        assert found is None or gone.value == found.value
        self._acknowledge("delete", gone)

    def _acknowledge(self, what: str, item: KeyValue) -> None:
        self._told[item.key] = max(item.mod_revision, self._told.get(item.key, 0))
        self.acknowledged.append((what, item))


def check(events: list[Event], clients: list[Client]) -> None:
    """Each revision once and in order, each event what really came before it, each acknowledged write among them."""
    revisions = [event.revision for event in events]
    assert revisions == sorted(set(revisions))
    state: dict[str, bytes] = {}
    for event in events:
        assert event.previous == state.get(event.key)
        assert event.is_create == (event.type is PUT and event.key not in state)
        if event.type is DELETE:
            del state[event.key]
        else:
            state[event.key] = event.value
    puts = {(event.key, event.revision): event.value for event in events if event.type is PUT}
    for client in clients:
        for what, item in client.acknowledged:
            if what == "put":
                assert puts[item.key, item.mod_revision] == item.value


async def under_load(etcd: Etcd, seed: int, fault: Callable[[random.Random], Awaitable[None]]) -> tuple[int, int]:
    """Two clients a store, two stores, one fault after another: acknowledged and unknown writes."""
    async with opened(etcd) as one, opened(etcd, 1) as two:
        told: dict[str, int] = {}
        histories = [History(one), History(two)]
        clients = [Client(store, told, random.Random(f"{seed}{n}")) for n, store in enumerate((one, two, one, two))]
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for client in clients:
                group.create_task(client.run(stop))
            await fault(random.Random(seed))
            # How many were written meanwhile is the machine's affair.
            async with asyncio.timeout(60):
                while written(clients) <= ENOUGH_WRITES:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            stop.set()
        for key in KEYS:
            await one.put(key, b"end", b"", expected=None)
        end = await two.current_revision()
        seen = [await history.upto(end) for history in histories]
        assert seen[0] == seen[1]
        check(seen[0], clients)
        content = (await one.list(ROOT)).items
        assert content == (await two.list(ROOT)).items
        async with opened(etcd) as fresh:
            assert (await fresh.list(ROOT)).items == content
        return written(clients), sum(client.unknown for client in clients)


def written(clients: list[Client]) -> int:
    return sum(len(client.acknowledged) for client in clients)


@pytest.mark.parametrize("seed", range(int(os.environ.get("TIPHYS_SEEDS", "1"))))
async def test_members_crash_and_freeze_under_load(etcd: Etcd, seed: int) -> None:
    print("seed", seed)

    async def fault(rng: random.Random) -> None:
        for member in rng.sample(etcd.members, 3):
            await asyncio.sleep(0.2)
            if rng.random() < 0.5:
                member.kill()
                await asyncio.sleep(0.5)
                member.start()
                await asyncio.to_thread(member.wait_healthy)
            else:
                member.signal(signal.SIGSTOP)
                await asyncio.sleep(1.5)
                member.signal(signal.SIGCONT)
        await asyncio.sleep(0.5)

    acknowledged, unknown = await under_load(etcd, seed, fault)
    print("acknowledged", acknowledged, "unknown", unknown)


async def test_a_frozen_member_delays_reads_by_seconds_only(etcd: Etcd) -> None:
    async with opened(etcd) as one, opened(etcd, 1) as two:
        await one.put(KEYS[0], b"a", b"", expected=0)
        await two.current_revision()
        etcd.members[1].signal(signal.SIGSTOP)
        kept = await one.put(KEYS[0], b"b", b"", expected=None)
        async with asyncio.timeout(9):
            assert await two.current_revision() >= kept.mod_revision
        assert await two.get(KEYS[0]) == kept
        etcd.members[1].signal(signal.SIGCONT)


async def test_what_was_forgotten_meanwhile_is_made_up_for(etcd: Etcd) -> None:
    async with opened(etcd) as one, opened(etcd, 1) as two:
        for key in KEYS[:4]:
            await one.put(key, b"old", b"", expected=0)
        await two.current_revision()
        history = History(two)
        await asyncio.sleep(0)
        # As if cut off: nothing comes through until it is over.
        read, two._mirror._client.read = two._mirror._client.read, _refused  # type: ignore[method-assign]
        assert two._mirror._stream is not None
        two._mirror._stream.cut()
        await one.delete(KEYS[0], expected=None)
        await one.delete(KEYS[1], expected=None)
        await one.delete(KEYS[2], expected=None)
        remade = await one.put(KEYS[2], b"other", b"", expected=0)
        changed = await one.put(KEYS[3], b"new", b"", expected=None)
        made = await one.put(KEYS[4], b"new", b"", expected=0)
        await one.compact(one.revision)
        two._mirror._client.read = read  # type: ignore[method-assign]
        await two.current_revision()
        events = await history.upto(made.mod_revision)
        assert (await two.list(ROOT)).items == (await one.list(ROOT)).items
    told = [(event.type, event.key) for event in events]
    assert sorted(told) == sorted(
        [(DELETE, KEYS[0]), (DELETE, KEYS[1]), (DELETE, KEYS[2]), *((PUT, i.key) for i in (remade, changed, made))]
    )
    assert told.index((DELETE, KEYS[2])) < told.index((PUT, KEYS[2]))
    revisions = [event.revision for event in events]
    assert revisions == sorted(set(revisions))


async def _refused(**_: object) -> object:
    from tiphys.store.etcd_client import EtcdUnavailable

    raise EtcdUnavailable("cut off")


async def test_a_write_whose_answer_is_lost_is_looked_up(etcd: Etcd, monkeypatch: pytest.MonkeyPatch) -> None:
    call = EtcdClient.call
    lost = 0

    async def losing(self: EtcdClient, method: str, fields: object) -> object:
        nonlocal lost
        answer = await call(self, method, fields)  # type: ignore[arg-type]
        if method == "txn" and lost < 1:
            lost += 1
            self.next_endpoint(self._current)
            await _refused()
        return answer

    async with opened(etcd) as one:
        monkeypatch.setattr(EtcdClient, "call", losing)
        made = await one.put(KEYS[0], b"a", b"", expected=0)
        assert await one.get(KEYS[0]) == made
        lost = 0
        changed = await one.put(KEYS[0], b"b", b"", expected=made.mod_revision)
        assert (changed.create_revision, changed.mod_revision) == (made.mod_revision, made.mod_revision + 1)
        lost = 0
        gone = await one.delete(KEYS[0], expected=changed.mod_revision)
        assert (gone.value, gone.mod_revision) == (changed.value, changed.mod_revision + 1)
        lost = 0
        with pytest.raises(StoreError):
            await one.put(KEYS[0], b"c", b"", expected=made.mod_revision)
        assert await one.get(KEYS[0]) is None


async def test_nothing_is_written_into_a_restore(etcd: Etcd) -> None:
    operator = EtcdClient([member.endpoint for member in etcd.members])
    operator.start()
    request = wire.MESSAGE["RequestOp"]
    async with opened(etcd) as one:
        put = wire.MESSAGE["PutRequest"](key=RESTORING, value=b"1")
        await operator.anywhere("txn", {"success": [request(request_put=put)]})
        try:
            with pytest.raises(StoreError, match="snapshot is being restored"):
                await one.put(KEYS[0], b"a", b"", expected=0)
            async with asyncio.timeout(5):
                assert "snapshot is being restored" in await one.failure
        finally:
            remove = wire.MESSAGE["DeleteRangeRequest"](key=RESTORING)
            await operator.anywhere("txn", {"success": [request(request_delete_range=remove)]})
            await operator.close()
    async with opened(etcd) as fresh:
        assert await fresh.get(KEYS[0]) is None


async def test_closing_waits_for_the_writes_under_way(etcd: Etcd) -> None:
    async with opened(etcd) as one:
        writes = [asyncio.ensure_future(one.put(key, b"a", b"", expected=0)) for key in KEYS]
        await asyncio.sleep(0)
    assert [(await write).key for write in writes] == KEYS
