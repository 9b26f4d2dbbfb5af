"""Extenders asked over real connections."""

from __future__ import annotations

import asyncio
import base64
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.unit.scheduler.extenders.servers import FakeExtender, letting, scoring, serving
from tests.unit.scheduler.objects import node, pod
from tiphys.base.http.tls import server_context
from tiphys.cmd.certificates import Authority, Profile
from tiphys.scheduler.extenders.asking import Extenders
from tiphys.scheduler.extenders.settings import Extender, ExtenderManagedResource, ExtenderTLSConfig
from tiphys.scheduler.extenders.transport import ExtenderError, tls_context
from tiphys.scheduler.template import PodInfo, Template

NODES = [node("n1"), node("n2"), node("n3")]


def settings(extender: FakeExtender, **more: Any) -> Extender:
    return Extender(url_prefix=extender.prefix, **more)


async def ask(*given: Extender) -> Any:
    extenders = Extenders(given)
    try:
        return await extenders.ask(pod("a"), NODES)
    finally:
        await extenders.close()


async def test_one_filters_after_the_other_and_scores_are_summed() -> None:
    first = FakeExtender(filter=letting("n1", "n2"), prioritize=scoring(n1=3, n2=10))
    second = FakeExtender(filter=letting("n1", "n2", "n3"), prioritize=scoring(n1=1))
    async with serving(first), serving(second):
        opinion = await ask(
            settings(first, filter_verb="filter", prioritize_verb="prioritize", weight=2),
            settings(second, filter_verb="filter", prioritize_verb="prioritize", weight=5, node_cache_capable=True),
        )
    assert opinion.allowed == {"n1", "n2"}
    assert opinion.failed == {"n3": "no licence"}
    assert opinion.scores == {"n1": 3 * 2 * 10 + 1 * 5 * 10, "n2": 10 * 2 * 10}
    assert second.asked[0][1]["NodeNames"] == ["n1", "n2"]


async def test_one_node_needs_no_score() -> None:
    extender = FakeExtender(filter=letting("n2"), prioritize=scoring())
    async with serving(extender):
        opinion = await ask(settings(extender, filter_verb="filter", prioritize_verb="prioritize", weight=1))
    assert opinion.allowed == {"n2"}
    assert extender.verbs() == ["filter"]


async def test_what_cannot_be_resolved_goes_before_what_failed() -> None:
    def both(_: Any) -> Any:
        return {"failedNodes": {"n1": "a", "n2": "b"}, "failedAndUnresolvableNodes": {"n1": "c"}}

    extender = FakeExtender(filter=both)
    async with serving(extender):
        opinion = await ask(settings(extender, filter_verb="filter"))
    assert (opinion.allowed, opinion.failed, opinion.unresolvable) == (frozenset(), {"n2": "b"}, {"n1": "c"})


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (500, "failed filter with extender at URL {prefix}/filter, code 500"),
        (lambda _: {"error": "the database is away"}, "the database is away"),
        (lambda _: {"nodes": {"items": [{"metadata": {"name": "n9"}}]}}, 'a filtered node "n9" which is not found in'),
        (lambda _: ["nonsense"], "the extender's answer cannot be read"),
    ],
)
async def test_a_filter_that_fails_fails_the_pod_unless_it_may_be_ignored(answer: Any, words: str) -> None:
    extender = FakeExtender(filter=answer)
    async with serving(extender):
        with pytest.raises(ExtenderError) as failure:
            await ask(settings(extender, filter_verb="filter"))
        opinion = await ask(settings(extender, filter_verb="filter", ignorable=True))
    assert words.format(prefix=extender.prefix) in str(failure.value)
    assert opinion.allowed == {"n1", "n2", "n3"}


async def test_nobody_there_and_nobody_answering() -> None:
    extender = FakeExtender(filter=letting())
    extender.hold = asyncio.Event()
    async with serving(extender):
        with pytest.raises(ExtenderError, match="context deadline exceeded"):
            await ask(settings(extender, filter_verb="filter", http_timeout="10ms"))
        extender.hold.set()
    with pytest.raises(ExtenderError, match=r'Post "http://127.0.0.1:\d+/scheduler/filter": dial tcp .*refused'):
        await ask(settings(extender, filter_verb="filter"))


async def test_one_that_cannot_score_has_no_preference() -> None:
    extender = FakeExtender(prioritize=500)
    async with serving(extender):
        opinion = await ask(settings(extender, prioritize_verb="prioritize", weight=1))
    assert (opinion.allowed, opinion.scores) == ({"n1", "n2", "n3"}, {})


async def test_a_binder_binds_what_it_is_interested_in() -> None:
    extender = FakeExtender(bind=lambda sent: {"error": "taken" if sent["Node"] == "n2" else ""})
    gpu = (ExtenderManagedResource(name="example.com/gpu"),)
    info = _placed("n1")
    async with serving(extender):
        extenders = Extenders([settings(extender, bind_verb="bind")])
        assert await extenders.bind(info)
        with pytest.raises(ExtenderError, match="taken"):
            await extenders.bind(_placed("n2"))
        others = Extenders([settings(extender, bind_verb="bind", managed_resources=gpu)])
        assert not await others.bind(info)
        assert not extenders.want(info.pod)
        await extenders.close()
        await others.close()
    assert extender.asked[0][1] == {"PodName": "a", "PodNamespace": "default", "PodUID": info.uid, "Node": "n1"}


def _placed(node_name: str) -> PodInfo:
    made = pod("a", uid="u1")
    info = PodInfo(made, Template(made, None, {}))
    info.node_name = node_name
    return info


async def test_over_tls_with_a_certificate_of_its_own(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    authority = Authority.load_or_create(tmp_path / "ca.pem", tmp_path / "ca.key", "test", now)
    server = authority.issue(Profile("server", names=("extender.test",)), now)
    client = authority.issue(Profile("scheduler"), now)
    extender = FakeExtender(filter=letting("n1"))
    async with serving(extender, server_context(server.certificate, server.key, client_ca=authority.pem)):
        trusted = ExtenderTLSConfig(
            ca_file=str(tmp_path / "ca.pem"),
            server_name="extender.test",
            cert_data=base64.b64encode(client.certificate).decode(),
            key_data=base64.b64encode(client.key).decode(),
        )
        found = await ask(settings(extender, filter_verb="filter", enable_https=True, tls_config=trusted))
        assert found.allowed == {"n1"}
        assert extender.peers == ["scheduler"]
        # Without an authority upstream verifies nothing, if it is told that this is HTTPS, or to be insecure.
        assert (await ask(settings(extender, filter_verb="filter", enable_https=True))).allowed == {"n1"}
        insecure = ExtenderTLSConfig(insecure=True)
        assert (await ask(settings(extender, filter_verb="filter", tls_config=insecure))).allowed == {"n1"}
        with pytest.raises(ExtenderError, match="certificate verify failed"):
            await ask(settings(extender, filter_verb="filter"))
        unnamed = ExtenderTLSConfig(ca_data=base64.b64encode(authority.pem).decode(), server_name="other.test")
        with pytest.raises(ExtenderError, match="certificate"):
            await ask(settings(extender, filter_verb="filter", tls_config=unnamed))


def test_what_is_wrong_with_files_is_said_at_once(tmp_path: Path) -> None:
    def context(**tls: Any) -> ssl.SSLContext | None:
        return tls_context(Extender(url_prefix="https://x", tls_config=ExtenderTLSConfig(**tls)))

    with pytest.raises(OSError, match="nowhere"):
        context(ca_file=str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="go together"):
        context(cert_data="eA==")
    with pytest.raises(ValueError, match="with the insecure flag"):
        context(ca_data="eA==", insecure=True)
    assert tls_context(Extender(url_prefix="http://x")) is None
