"""The node's keeper of local-path volumes against a real apiserver, as the node's own user."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from msgspec.structs import replace

from tiphys.api import local_path
from tiphys.api.errors import ApiError
from tiphys.api.persistent_volumes import PROVISIONED_BY
from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import (
    LocalVolumeSource,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    PersistentVolume,
    PersistentVolumeSpec,
    VolumeNodeAffinity,
)
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.client import Client
from tiphys.kubelet.local_path import REMOVED, LocalPathAgent, remove
from tiphys.testing.control_plane import ControlPlane, control_plane

NODE = "node-1"


class Heard:
    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def event(self, obj: object, type: str, reason: str, message: str, *, field_path: str = "") -> None:
        self.said.append((reason, message))


def made(name: str, root: Path, *, node: str = NODE, policy: str = "Delete") -> PersistentVolume:
    here = NodeSelectorRequirement(key="kubernetes.io/hostname", operator="In", values=(node,))
    terms = NodeSelector(node_selector_terms=(NodeSelectorTerm(match_expressions=(here,)),))
    return PersistentVolume(
        metadata=ObjectMeta(
            name=name,
            labels={local_path.NODE_LABEL: node},
            annotations={PROVISIONED_BY: local_path.PROVISIONER},
            finalizers=(local_path.FINALIZER,),
        ),
        spec=PersistentVolumeSpec(
            access_modes=("ReadWriteOnce",),
            capacity={"storage": Quantity("1Gi")},
            local=LocalVolumeSource(path=str(root / name)),
            node_affinity=VolumeNodeAffinity(required=terms),
            persistent_volume_reclaim_policy=policy,
        ),
    )


@asynccontextmanager
async def agent(plane: ControlPlane, root: Path) -> AsyncIterator[Heard]:
    heard = Heard()
    client = plane.client_as(f"system:node:{NODE}", "system:nodes")
    running = asyncio.ensure_future(LocalPathAgent(client, NODE, root, heard).run())
    try:
        yield heard
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def until(check: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await check():  # noqa: ASYNC110 (there is no event to wait for)
            await asyncio.sleep(0.005)


async def exists(client: Client, name: str) -> bool:
    try:
        await client.get(PersistentVolume, name)
    except ApiError as error:
        return error.code != 404
    return True


async def give_up(client: Client, name: str) -> None:
    """Delete the volume as the controllers do: no claim has it, so protection is taken off."""
    await client.delete(PersistentVolume, name)
    found = await client.get(PersistentVolume, name)
    kept = tuple(f for f in found.metadata.finalizers if f != local_path.PROTECTION)
    await client.update(replace(found, metadata=replace(found.metadata, finalizers=kept)))


async def test_directories_come_and_go_with_their_volumes(tmp_path: Path) -> None:
    root = tmp_path / "local-path"
    async with control_plane() as plane, agent(plane, root):
        for name, policy in (("a", "Delete"), ("kept", "Retain")):
            await plane.client.create(made(name, root, policy=policy))
        await plane.client.create(made("foreign", root, node="node-2"))

        async def there() -> bool:
            return (root / "a").is_dir() and (root / "kept").is_dir()

        await until(there)
        assert (root / "a").stat().st_mode & 0o777 == 0o777
        (root / "a" / "deep").mkdir()
        (root / "a" / "deep" / "data").write_text("x")
        (root / "kept" / "data").write_text("x")
        for name in ("a", "kept"):
            await give_up(plane.client, name)

        async def gone() -> bool:
            return not await exists(plane.client, "a") and not await exists(plane.client, "kept")

        await until(gone)
        assert sorted(p.name for p in root.iterdir()) == ["kept"]
        assert (root / "kept" / "data").read_text() == "x"


async def test_a_protected_volume_keeps_its_data_while_it_is_being_deleted(tmp_path: Path) -> None:
    root = tmp_path / "local-path"
    async with control_plane() as plane, agent(plane, root):
        await plane.client.create(made("a", root))

        async def there() -> bool:
            return (root / "a").is_dir()

        await until(there)
        (root / "a" / "data").write_text("x")
        await plane.client.delete(PersistentVolume, "a")
        # A later volume shows that the agent has looked at the deletion by now.
        await plane.client.create(made("b", root))

        async def second() -> bool:
            return (root / "b").is_dir()

        await until(second)
        assert (root / "a" / "data").read_text() == "x"
        assert local_path.FINALIZER in (await plane.client.get(PersistentVolume, "a")).metadata.finalizers


async def test_a_path_elsewhere_is_nobodys_to_remove(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "local-path", tmp_path / "elsewhere"
    (elsewhere / "a").mkdir(parents=True)
    async with control_plane() as plane, agent(plane, root) as heard:
        await plane.client.create(made("a", elsewhere))
        await give_up(plane.client, "a")

        async def gone() -> bool:
            return not await exists(plane.client, "a")

        await until(gone)
        assert (elsewhere / "a").is_dir()
        assert heard.said[0][0] == "VolumeFailedDelete" and "left as it is" in heard.said[0][1]


async def test_what_a_crash_left_half_removed_goes_at_the_next_start(tmp_path: Path) -> None:
    root = tmp_path / "local-path"
    (root / f"{REMOVED}a-1234" / "deep").mkdir(parents=True)
    (root / "b").mkdir()
    async with control_plane() as plane, agent(plane, root):
        await plane.client.create(made("c", root))

        async def there() -> bool:
            return (root / "c").is_dir()

        await until(there)
        assert sorted(p.name for p in root.iterdir()) == ["b", "c"]


def test_removing_twice_is_removing_once(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    remove(tmp_path, "a", "u")
    remove(tmp_path, "a", "u")
    assert list(tmp_path.iterdir()) == []


async def test_a_node_sees_and_changes_only_what_it_keeps(tmp_path: Path) -> None:
    async with control_plane() as plane:
        await plane.client.create(made("own", tmp_path))
        await plane.client.create(made("other", tmp_path, node="node-2"))
        node = plane.client_as(f"system:node:{NODE}", "system:nodes")
        mine = f"{local_path.NODE_LABEL}={NODE}"
        assert [v.metadata.name for v in (await node.list(PersistentVolume, label_selector=mine)).items] == ["own"]
        for selector in ("", f"{local_path.NODE_LABEL}=node-2"):
            with pytest.raises(ApiError, match="can only get individual resources of this type"):
                await node.list(PersistentVolume, label_selector=selector)
        own = await node.get(PersistentVolume, "own")
        with pytest.raises(ApiError, match="no relationship found"):
            await node.get(PersistentVolume, "other")
        with pytest.raises(ApiError, match="can only remove the finalizer"):
            await node.update(replace(own, metadata=replace(own.metadata, labels={})))
        with pytest.raises(ApiError, match="can only remove the finalizer"):
            await node.update(replace(own, metadata=replace(own.metadata, finalizers=())))
        with pytest.raises(ApiError, match="forbidden"):
            await node.delete(PersistentVolume, "own")
        await node.update(local_path.let_go(own))


async def test_a_directory_that_is_missing_is_not_made_again(tmp_path: Path) -> None:
    root = tmp_path / "local-path"
    async with control_plane() as plane:
        await plane.client.create(made("a", root))

        async def noted() -> bool:
            found = await plane.client.get(PersistentVolume, "a")
            return local_path.MADE_ANNOTATION in found.metadata.annotations

        async with agent(plane, root):
            await until(noted)
        (root / "a").rmdir()
        async with agent(plane, root) as heard:

            async def said() -> bool:
                return [reason for reason, _ in heard.said] == ["VolumeDataMissing"]

            await until(said)
            assert not (root / "a").exists()
            # Who knows what he does may begin anew.
            await plane.client.patch(
                PersistentVolume, "a", "", {"metadata": {"annotations": {local_path.MADE_ANNOTATION: None}}}
            )

            async def there() -> bool:
                return (root / "a").is_dir()

            await until(there)
