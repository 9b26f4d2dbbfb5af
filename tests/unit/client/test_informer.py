import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.unit.client.fake_api import FakeApi, pod
from tiphys.api import errors
from tiphys.api.selectors import parse_labels
from tiphys.api.types.core_v1 import Pod
from tiphys.client import Informer, SharedInformers
from tiphys.testing.clock import FakeClock, settle


class Heard:
    """What an informer told its handlers."""

    def __init__(self, informer: Informer[Pod]) -> None:
        self.events: list[str] = []
        informer.add_handler(
            on_add=lambda p: self.events.append(f"+{p.metadata.name}"),
            on_update=lambda old, new: self.events.append(f"~{new.metadata.name}"),
            on_delete=lambda p: self.events.append(f"-{p.metadata.name}"),
        )


@asynccontextmanager
async def running(informer: Informer[Pod]) -> AsyncIterator[Informer[Pod]]:
    task = asyncio.ensure_future(informer.run())
    try:
        await settle()
        yield informer
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def test_handlers_hear_what_is_there_and_what_changes() -> None:
    api, clock = FakeApi(), FakeClock()
    api.put("pods/x/a", pod("a", "x"), "ADDED")
    informer = Informer(api.client(), Pod, clock=clock)
    heard = Heard(informer)
    async with running(informer):
        assert informer.synced
        api.put("pods/x/b", pod("b", "x"), "ADDED")
        api.put("pods/x/a", pod("a", "x", tier="web"), "MODIFIED")
        api.put("pods/x/b", pod("b", "x"), "DELETED")
        await settle()
        assert heard.events == ["+a", "+b", "~a", "-b"]
        assert [p.metadata.name for p in informer.list("x", parse_labels("tier=web"))] == ["a"]
        assert informer.get("a", "x") is not None
        assert informer.get("b", "x") is None
        assert informer.list("x")[0].kind == "Pod"


async def test_a_handler_added_late_hears_what_is_known() -> None:
    api = FakeApi()
    api.put("pods/x/a", pod("a", "x"), "ADDED")
    informer = Informer(api.client(), Pod, clock=FakeClock())
    async with running(informer):
        assert Heard(informer).events == ["+a"]


async def test_a_handler_that_fails_does_not_silence_others() -> None:
    api = FakeApi()
    api.put("pods/x/a", pod("a", "x"), "ADDED")
    informer = Informer(api.client(), Pod, clock=FakeClock())

    def fail(_: Pod) -> None:
        raise RuntimeError("handler")

    informer.add_handler(on_add=fail)
    heard = Heard(informer)
    async with running(informer):
        assert heard.events == ["+a"]


async def test_after_a_cut_it_watches_from_where_it_was() -> None:
    api, clock = FakeApi(), FakeClock()
    informer = Informer(api.client(), Pod, clock=clock, draw=lambda: 0.0)
    heard = Heard(informer)
    async with running(informer):
        api.put("pods/x/a", pod("a", "x"), "ADDED")
        await settle()
        api.cut()
        api.put("pods/x/b", pod("b", "x"), "ADDED")
        await clock.advance(1.0)
        assert heard.events == ["+a", "+b"]
        assert [r for r in api.requests if not r.endswith("?watch")] == ["GET /api/v1/pods"]


async def test_a_compacted_revision_is_listed_again_and_the_difference_told() -> None:
    api, clock = FakeApi(), FakeClock()
    api.put("pods/x/a", pod("a", "x"), "ADDED")
    api.put("pods/x/b", pod("b", "x"), "ADDED")
    api.put("pods/x/c", pod("c", "x", uid="old"), "ADDED")
    informer = Informer(api.client(), Pod, clock=clock, draw=lambda: 0.0)
    heard = Heard(informer)
    async with running(informer):
        api.watchers.clear()
        heard.events.clear()
        api.put("pods/x/a", pod("a", "x"), "DELETED")
        api.put("pods/x/c", pod("c", "x"), "DELETED")
        api.put("pods/x/c", pod("c", "x", uid="new"), "ADDED")
        api.oldest = api.revision
    second = Informer(api.client(), Pod, clock=clock, draw=lambda: 0.0)
    second.cache, second.resource_version = informer.cache, "3"
    told = Heard(second)
    told.events.clear()
    async with running(second):
        await clock.advance(1.0)
        assert sorted(told.events) == ["+c", "-a", "-c"]


async def test_failures_are_retried_with_a_growing_delay() -> None:
    api, clock = FakeApi(), FakeClock()
    api.refuse = [ConnectionRefusedError("down")] * 3
    informer = Informer(api.client(), Pod, clock=clock, draw=lambda: 0.0)
    async with running(informer):
        assert not informer.synced
        await clock.advance(0.05)
        assert len(api.requests) == 1
        await clock.advance(0.1 + 0.2 + 0.4)
        assert informer.synced


async def test_an_expired_watch_lists_again() -> None:
    api, clock = FakeApi(), FakeClock()
    informer = Informer(api.client(), Pod, clock=clock, draw=lambda: 0.0)
    async with running(informer):
        api.refuse = [errors.expired("too old")]
        api.cut()
        await settle()
        await clock.advance(1.0)
        lists = [r for r in api.requests if not r.endswith("?watch")]
        assert len(lists) == 2


async def test_objects_are_found_by_index_and_transformed() -> None:
    api = FakeApi()
    api.put("pods/x/a", pod("a", "x", tier="web"), "ADDED")

    def bare(p: Pod) -> Pod:
        p.spec.containers = ()
        return p

    informer = Informer(
        api.client(),
        Pod,
        clock=FakeClock(),
        indexes={"tier": lambda p: (p.metadata.labels.get("tier", ""),)},
        transform=bare,
    )
    async with running(informer):
        assert len(informer.by_index("tier", "web")) == 1
        api.put("pods/x/a", pod("a", "x", tier="db"), "MODIFIED")
        await settle()
        assert informer.by_index("tier", "web") == []
        assert len(informer.by_index("tier", "db")) == 1


async def test_informers_are_shared_by_kind() -> None:
    informers = SharedInformers(FakeApi().client())
    assert informers.of(Pod) is informers.of(Pod)
    assert len(list(informers.all())) == 1


async def test_a_server_that_is_gone_for_long_is_noticed_soon_after_it_is_back() -> None:
    api, clock = FakeApi(), FakeClock()
    informer = Informer(api.client(), Pod, clock=clock, draw=lambda: 0.0)
    api.refuse = [ConnectionRefusedError("down")] * 10_000
    async with running(informer):
        await clock.advance(3600)
        assert not informer.synced
        api.refuse.clear()
        await clock.advance(1.0)
        assert informer.synced


async def test_it_says_since_when_it_follows_the_server() -> None:
    api, clock = FakeApi(), FakeClock()
    informer = Informer(api.client(), Pod, clock=clock, draw=lambda: 0.0)
    assert informer.connected_since is None
    async with running(informer):
        assert informer.connected_since == 1000.0
        api.refuse = [ConnectionRefusedError("down")] * 3
        api.cut()
        await settle()
        await clock.advance(0.15)
        assert informer.connected_since is None
        await clock.advance(5.0)
        assert informer.connected_since is not None
        assert informer.connected_since > 1000.0
