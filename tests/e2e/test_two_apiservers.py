"""Two apiservers on one etcd cluster of three members: each sees what the other wrote, and any of the five may die."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.etcd import Member, members
from tiphys.api.errors import ApiError
from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import (
    ConfigMap,
    Container,
    Namespace,
    Pod,
    PodSpec,
    ResourceQuota,
    ResourceQuotaSpec,
    Service,
    ServiceAccount,
    ServicePort,
    ServiceSpec,
)
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.apiserver.config import ApiServerConfig
from tiphys.apiserver.server import ApiServer
from tiphys.base.http.messages import PeerIdentity
from tiphys.client import Client, InProcessTransport
from tiphys.store.etcd import EtcdBackend

ADMIN = PeerIdentity("admin", ("system:masters",))


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Member]]:
    made = members(tmp_path_factory.mktemp("etcd"), 3)
    yield made
    for member in made:
        member.kill()


@contextlib.asynccontextmanager
async def apiserver(etcd: list[Member], prefix: Path) -> AsyncIterator[Client]:
    backend = EtcdBackend([member.endpoint for member in etcd], prefix=str(prefix))
    server = ApiServer(ApiServerConfig(), backend)
    await server.start()
    try:
        yield Client(InProcessTransport(server.handler, ADMIN))
    finally:
        await server.close()


def config_map(name: str, **data: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, namespace="default"), data=data)


async def test_what_one_wrote_the_other_reads_at_once(etcd: list[Member], tmp_path: Path) -> None:
    async with apiserver(etcd, tmp_path) as one, apiserver(etcd, tmp_path) as two:
        for number in range(20):
            writer, reader = (one, two) if number % 2 else (two, one)
            made = await writer.create(config_map(f"a{number}"))
            found = await reader.get(ConfigMap, f"a{number}", "default")
            assert found.metadata.resource_version == made.metadata.resource_version
            names = [item.metadata.name for item in (await reader.list(ConfigMap, "default")).items]
            assert f"a{number}" in names
            await writer.delete(ConfigMap, f"a{number}", "default")
            with pytest.raises(ApiError) as caught:
                await reader.get(ConfigMap, f"a{number}", "default")
            assert caught.value.code == 404


async def test_what_one_wrote_the_other_changes_at_once(etcd: list[Member], tmp_path: Path) -> None:
    async with apiserver(etcd, tmp_path) as one, apiserver(etcd, tmp_path) as two:
        for number in range(20):
            first, second = (one, two) if number % 2 else (two, one)
            await first.create(Namespace(metadata=ObjectMeta(name=f"n{number}")))
            made = await second.create(ConfigMap(metadata=ObjectMeta(name="a", namespace=f"n{number}")))
            changed = await first.update(replace(made, data={"a": "1"}))
            changed = await second.update(replace(changed, data={"a": "2"}))
            await first.delete(ConfigMap, "a", f"n{number}", resource_version=changed.metadata.resource_version or "")
            await second.create(ConfigMap(metadata=ObjectMeta(name="a", namespace=f"n{number}")))


async def test_of_two_updates_of_one_version_one_is_refused(etcd: list[Member], tmp_path: Path) -> None:
    async with apiserver(etcd, tmp_path) as one, apiserver(etcd, tmp_path) as two:
        made = await one.create(config_map("shared"))
        meta = ObjectMeta(name="shared", namespace="default", resource_version=made.metadata.resource_version)
        outcomes = await asyncio.gather(
            *(
                client.update(ConfigMap(metadata=meta, data={"by": name}))
                for name, client in (("one", one), ("two", two))
            ),
            return_exceptions=True,
        )
        refused = [outcome for outcome in outcomes if isinstance(outcome, ApiError)]
        assert [error.code for error in refused] == [409]


async def test_a_watcher_sees_the_writes_of_all_in_order(etcd: list[Member], tmp_path: Path) -> None:
    async with apiserver(etcd, tmp_path) as one, apiserver(etcd, tmp_path) as two:
        start = (await one.list(ConfigMap, "default")).metadata.resource_version or ""

        async def write(client: Client, name: str) -> list[str]:
            made = [await client.create(config_map(f"{name}{number}")) for number in range(30)]
            return [item.metadata.resource_version or "" for item in made]

        async def watch(client: Client) -> list[str]:
            seen: list[str] = []
            async with asyncio.timeout(20):
                async for event in client.watch(ConfigMap, "default", resource_version=start):
                    seen.append(event.object.metadata.resource_version or "")
                    if len(seen) == 60:
                        break
            return seen

        watches = [asyncio.ensure_future(watch(client)) for client in (one, two)]
        written = await asyncio.gather(write(one, "x"), write(two, "y"))
        expected = sorted((revision for part in written for revision in part), key=int)
        assert [await seen for seen in watches] == [expected, expected]


async def test_no_address_and_no_port_is_given_twice(etcd: list[Member], tmp_path: Path) -> None:
    async with apiserver(etcd, tmp_path) as one, apiserver(etcd, tmp_path) as two:

        async def claim(client: Client, name: str, number: int) -> Service | ApiError:
            spec = ServiceSpec(
                type="NodePort", cluster_ip=f"10.96.7.{number}", ports=(ServicePort(port=80, node_port=30100 + number),)
            )
            try:
                return await client.create(Service(metadata=ObjectMeta(name=name, namespace="default"), spec=spec))
            except ApiError as error:
                return error

        outcomes = await asyncio.gather(
            *(claim(client, f"{name}{n}", n) for n in range(1, 21) for name, client in (("one", one), ("two", two)))
        )
        got = [outcome for outcome in outcomes if isinstance(outcome, Service)]
        assert len({service.spec.cluster_ip for service in got}) == len(got) == 20
        assert {error.code for error in outcomes if isinstance(error, ApiError)} <= {409, 422}


async def test_a_quota_holds_for_both_together(etcd: list[Member], tmp_path: Path) -> None:
    async with apiserver(etcd, tmp_path) as one, apiserver(etcd, tmp_path) as two:
        await one.create(ServiceAccount(metadata=ObjectMeta(name="default", namespace="default")))
        quota = ResourceQuota(
            metadata=ObjectMeta(name="q", namespace="default"), spec=ResourceQuotaSpec(hard={"pods": Quantity("5")})
        )
        await one.create(quota)
        await two.list(ResourceQuota, "default")

        async def make(client: Client, name: str) -> int:
            spec = PodSpec(containers=(Container(name="c", image="i"),))
            try:
                await client.create(Pod(metadata=ObjectMeta(name=name, namespace="default"), spec=spec))
            except ApiError as error:
                return error.code or 0
            return 201

        for turn in range(5):
            names = [f"{turn}-{number}" for number in range(20)]
            outcomes = await asyncio.gather(
                *(make(client, f"{part}{name}") for name in names for part, client in (("one", one), ("two", two)))
            )
            assert sorted(outcomes) == [201] * 5 + [403] * 35
            pods = (await two.list(Pod, "default")).items
            assert len(pods) == 5
            for pod in pods:
                await one.delete(Pod, pod.metadata.name or "", "default", grace_period_seconds=0)


async def test_a_member_dies_under_load_and_nothing_acknowledged_is_lost(etcd: list[Member], tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    order = random.Random(seed).sample(etcd, len(etcd))
    acknowledged: dict[str, str] = {}
    stop = asyncio.Event()

    async def write(client: Client, name: str) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            with contextlib.suppress(ApiError):
                made = await client.create(config_map(f"{name}-{number}"))
                acknowledged[made.metadata.name or ""] = made.metadata.resource_version or ""

    async with apiserver(etcd, tmp_path) as one, apiserver(etcd, tmp_path) as two:
        writers = [asyncio.create_task(write(client, name)) for name, client in (("one", one), ("two", two))]
        for member in order:
            member.kill()
            before = len(acknowledged)
            async with asyncio.timeout(20):
                while len(acknowledged) < before + 20:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            member.start()
            await asyncio.to_thread(member.wait_healthy)
        stop.set()
        await asyncio.gather(*writers)
        for client in (one, two):
            found = {
                item.metadata.name: item.metadata.resource_version
                for item in (await client.list(ConfigMap, "default")).items
            }
            lost = {name: revision for name, revision in acknowledged.items() if found.get(name) != revision}
            assert lost == {}


async def test_without_a_quorum_writes_are_refused_in_words_and_go_on_after(etcd: list[Member], tmp_path: Path) -> None:
    async with apiserver(etcd, tmp_path) as one:
        await one.create(config_map("before"))
        for member in etcd[:2]:
            member.kill()
        with pytest.raises(ApiError) as caught:
            await one.create(config_map("during"))
        assert (caught.value.code, caught.value.reason) == (504, "Timeout")
        with pytest.raises(ApiError) as caught:
            await one.get(ConfigMap, "before", "default")
        assert caught.value.code == 503
        for member in etcd[:2]:
            member.start()
        await asyncio.to_thread(etcd[0].wait_healthy)
        await one.create(config_map("after"))
        assert (await one.get(ConfigMap, "before", "default")).metadata.name == "before"
