"""The stores against a model: a dict, a list of events and a counter."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from msgspec.structs import replace

from tiphys.store.backend import DELETE, PUT, Backend, Compacted, Event, KeyValue, RevisionMismatch
from tiphys.store.memory import MemoryBackend
from tiphys.store.sqlite import SqliteBackend

T = TypeVar("T")
KEYS = st.sampled_from(["/a/1", "/a/2", "/a/3/x", "/a", "/b/1", "/b/2"])
PREFIXES = st.sampled_from(["/", "/a", "/a/", "/b/", "/b/2"])


class StoreMachine(RuleBasedStateMachine):
    """Each rule does a thing to the store and to the model, and compares the answers."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.store = self.make()
        self.run(self.store.start())
        self.live: dict[str, KeyValue] = {}
        self.past: list[dict[str, KeyValue]] = [{}, {}]  # by revision
        self.events: list[Event] = []
        self.compacted = 0

    def make(self) -> Backend:
        return MemoryBackend()

    def run(self, work: Awaitable[T]) -> T:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        self.run(self.store.close())
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()

    @property
    def revision(self) -> int:
        return len(self.past) - 1

    def expected(self, key: str, choice: int) -> int | None:
        current = self.live.get(key)
        return [None, 0, current.mod_revision if current else 0, self.revision + 5][choice]

    def model_write(self, key: str, value: bytes | None) -> KeyValue:
        before, revision = self.live.get(key), self.revision + 1
        previous = before.value if before else None
        if value is None:
            assert before is not None
            del self.live[key]
            self.events.append(Event(DELETE, key, b"", previous, revision, False))
            result = replace(before, mod_revision=revision)
        else:
            result = KeyValue(key, value % revision, before.create_revision if before else revision, revision)
            self.live[key] = result
            self.events.append(Event(PUT, key, result.value, previous, revision, before is None))
        self.past.append(dict(self.live))
        return result

    def holds(self, key: str, expected: int | None) -> bool:
        current = self.live.get(key)
        return expected is None or expected == (current.mod_revision if current else 0)

    @rule(key=KEYS, choice=st.integers(0, 3), text=st.sampled_from([b"", b"x", b"yy"]))
    def put(self, key: str, choice: int, text: bytes) -> None:
        expected = self.expected(key, choice)
        call = self.store.put(key, text + b"<", b">", expected=expected)
        if self.holds(key, expected):
            assert self.run(call) == self.model_write(key, text + b"<%d>")
        else:
            with pytest.raises(RevisionMismatch) as caught:
                self.run(call)
            assert caught.value.current == self.live.get(key)

    @rule(key=KEYS, choice=st.integers(0, 3))
    def delete(self, key: str, choice: int) -> None:
        expected = self.expected(key, choice)
        call = self.store.delete(key, expected=expected)
        if key in self.live and self.holds(key, expected):
            assert self.run(call) == self.model_write(key, None)
        else:
            with pytest.raises(RevisionMismatch):
                self.run(call)

    @rule(keys=st.lists(KEYS, min_size=2, max_size=8), deletes=st.sets(st.integers(0, 7)))
    def at_once(self, keys: list[str], deletes: set[int]) -> None:
        """Writes in flight together: each builds on the one before."""

        async def submit() -> list[KeyValue | BaseException]:
            calls: list[Awaitable[KeyValue]] = []
            for index, key in enumerate(keys):
                delete = index in deletes
                calls.append(
                    self.store.delete(key, expected=None) if delete else self.store.put(key, b"<", b">", expected=None)
                )
            return await asyncio.gather(*calls, return_exceptions=True)

        # A deletion of an absent key is refused late, after what it waited for: keep to those of live ones.
        live = set(self.live)
        for index, key in enumerate(keys):
            if index in deletes and key not in live:
                deletes = deletes - {index}
            (live.discard if index in deletes else live.add)(key)
        outcomes = self.run(submit())
        for index, key in enumerate(keys):
            assert outcomes[index] == self.model_write(key, None if index in deletes else b"<%d>")

    @rule(prefix=PREFIXES, limit=st.integers(0, 4), after=st.one_of(st.just(""), KEYS), back=st.integers(0, 6))
    def list(self, prefix: str, limit: int, after: str, back: int) -> None:
        revision = max(1, self.revision - back)
        call = self.store.list(prefix, revision=revision, limit=limit, after=after)
        if revision < self.compacted:
            with pytest.raises(Compacted):
                self.run(call)
            return
        state = self.past[revision]
        items = [state[key] for key in sorted(state) if key.startswith(prefix) and key > after]
        page = items[:limit] if limit else items
        assert self.run(call) == (page, revision, len(items) - len(page))

    @rule(prefix=PREFIXES, back=st.integers(0, 10))
    def watch(self, prefix: str, back: int) -> None:
        after = max(1, self.revision - back)
        due = [event for event in self.events if event.revision > after and event.key.startswith(prefix)]

        async def read() -> list[Any]:
            got: list[Event] = []
            watch = self.store.watch(prefix, after)
            while len(got) < len(due):
                got += await anext(watch)
            await watch.aclose()  # type: ignore[attr-defined]
            return got

        if due and after < self.compacted:
            with pytest.raises(Compacted):
                self.run(read())
        else:
            assert self.run(read()) == due

    @rule(back=st.integers(0, 8))
    def compact(self, back: int) -> None:
        revision = self.revision - back
        self.run(self.store.compact(revision))
        self.compacted = max(self.compacted, revision)

    @invariant()
    def agrees(self) -> None:
        assert self.store.revision == self.revision
        assert self.store.compacted_revision == self.compacted
        for key in ("/a/1", "/b/2"):
            assert self.run(self.store.get(key)) == self.live.get(key)


class SqliteMachine(StoreMachine):
    """The same, with restarts."""

    def make(self) -> Backend:
        self.folder = getattr(self, "folder", None) or Path(tempfile.mkdtemp(prefix="tiphys-store-"))
        return SqliteBackend(self.folder / "state.db")

    @precondition(lambda self: self.revision > 3)
    @rule()
    def restart(self) -> None:
        self.run(self.store.close())
        self.store = self.make()
        self.run(self.store.start())

    def teardown(self) -> None:
        super().teardown()
        shutil.rmtree(self.folder)


@pytest.mark.parametrize(("machine", "examples"), [(StoreMachine, 60), (SqliteMachine, 25)])
def test_the_store_is_its_model(machine: type[StoreMachine], examples: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
