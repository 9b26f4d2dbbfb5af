"""CSI volumes from claim to container and back: the real apiserver, kubelet and controllers, and a driver on sockets
that makes folders where it would mount disks."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.csi_driver.disks import FolderDisks
from tests.csi_driver.driver import DriverConfig, Refuse, TestDriver
from tests.csi_driver.server import DriverServer
from tests.simulation.kubelet.conftest import NODE, World
from tiphys.api import codec
from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import Event, Node, PersistentVolume, PersistentVolumeClaim, Secret
from tiphys.api.types.storage_v1 import CSIDriver, CSINode, CSIStorageCapacity, StorageClass, VolumeAttachment
from tiphys.controllers.config import ControllerManagerConfig
from tiphys.controllers.csi.config import CsiControllerConfig
from tiphys.controllers.csi.sidecar import CsiController
from tiphys.controllers.manager import ControllerManager
from tiphys.kubelet.volumes.csi import mounter

NAME = "d.example.org"
PLACE = {"topology.example.org/rack": "r1"}


class Storage:
    """The driver of the node, the controllers beside it, and those of the cluster."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.folder = folder
        self.driver = TestDriver(DriverConfig(NAME, "id-of-n1", folder, topology=PLACE), FolderDisks())
        self.socket = folder / "csi.sock"
        registry = world.config.plugins_registry
        self.server = DriverServer(self.driver, self.socket, registry / "d.sock")
        self.tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        await self.server.start()
        names = (
            "persistentvolume-binder-controller",
            "persistentvolume-attach-detach-controller",
            "persistentvolumeclaim-protection-controller",
            "persistentvolume-protection-controller",
        )
        manager = ControllerManager(
            self.world.client("system:kube-controller-manager", "system:masters"),
            ControllerManagerConfig(controllers=names),
        )
        client = self.world.client("csi", "system:masters")
        beside = CsiController(client, self.socket, CsiControllerConfig(leader_elect=False))
        self.tasks = [asyncio.create_task(manager.run()), asyncio.create_task(beside.run())]
        await self.world.until(self._registered)

    async def _registered(self) -> bool:
        return [d.name for n in (await self.world.admin.list(CSINode)).items for d in n.spec.drivers] == [NAME]

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.server.stop()

    async def put(self, kind: type[Any], body: dict[str, Any]) -> Any:
        return await self.world.admin.create(codec.from_dict(kind, body))

    async def claim(self, name: str = "data", storage_class: str = "disk", **spec: Any) -> None:
        body = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "32Mi"}}}
        await self.put(
            PersistentVolumeClaim,
            {
                "metadata": {"name": name, "namespace": "default"},
                "spec": {**body, "storageClassName": storage_class, **spec},
            },
        )

    async def pod(self, name: str = "p", claim: str = "data", **spec: Any) -> None:
        volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": claim}}]
        mounts = [{"name": "v", "mountPath": "/v"}]
        containers = [{"name": "web", "image": "img", "imagePullPolicy": "IfNotPresent", "volumeMounts": mounts}]
        await self.world.create(name, {"volumes": volumes, "containers": containers, **spec})

    async def until(self, condition: Callable[[], Awaitable[Any]]) -> Any:
        return await self.world.until(condition, 20)

    async def detached(self) -> bool:
        node = await self.world.admin.get(Node, NODE)
        return not (
            node.status.volumes_in_use
            or node.status.volumes_attached
            or (await self.world.admin.list(VolumeAttachment)).items
        )

    def calls(self, *names: str) -> list[str]:
        return [call for call in self.driver.calls if call in names]

    async def words(self, reason: str) -> list[str]:
        return [e.message or "" for e in (await self.world.admin.list(Event, "default")).items if e.reason == reason]


@pytest.fixture
async def storage(world: World, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Storage]:
    await world.stop()
    folder = tmp_path_factory.mktemp("csi")
    world.config = dataclasses.replace(
        world.config, plugins_registry_dir=folder / "registry", volume_check_seconds=0.05, status_check_seconds=0.05
    )
    await world.start()
    made = Storage(world, folder)
    await made.put(CSIDriver, {"metadata": {"name": NAME}, "spec": {"podInfoOnMount": True, "fsGroupPolicy": "None"}})
    body = {
        "metadata": {"name": "disk"},
        "provisioner": NAME,
        "volumeBindingMode": "Immediate",
        "reclaimPolicy": "Delete",
    }
    await made.put(StorageClass, {**body, "allowVolumeExpansion": True})
    await made.start()
    yield made
    await made.stop()


async def test_the_node_says_what_drivers_it_has_and_where_it_is(storage: Storage) -> None:
    node = await storage.world.admin.get(Node, NODE)
    assert json.loads(node.metadata.annotations["csi.volume.kubernetes.io/nodeid"]) == {NAME: "id-of-n1"}
    assert node.metadata.labels.items() >= PLACE.items()
    (csi_node,) = (await storage.world.admin.list(CSINode)).items
    assert csi_node.metadata.owner_references[0].kind == "Node"
    assert csi_node.spec.drivers[0].topology_keys == tuple(PLACE)

    async def told() -> bool:
        return storage.server.registered == [(True, "")]

    await storage.until(told)
    await storage.server.stop()

    async def forgotten() -> bool:
        node = await storage.world.admin.get(Node, NODE)
        left = "csi.volume.kubernetes.io/nodeid" in node.metadata.annotations
        return not left and not (await storage.world.admin.get(CSINode, NODE)).spec.drivers

    await storage.until(forgotten)


async def test_from_claim_to_container_and_back(storage: Storage) -> None:
    await storage.claim()
    await storage.pod()
    await storage.until(storage.world.is_ready)
    (volume,) = (await storage.world.admin.list(PersistentVolume)).items
    assert volume.spec.node_affinity is not None
    node = await storage.world.admin.get(Node, NODE)
    unique = f"kubernetes.io/csi/{NAME}^disk-{volume.metadata.name}"
    assert node.status.volumes_in_use == (unique,)
    assert [a.name for a in node.status.volumes_attached] == [unique]
    order = storage.calls("ControllerPublishVolume", "NodeStageVolume", "NodePublishVolume")
    assert order[:3] == ["ControllerPublishVolume", "NodeStageVolume", "NodePublishVolume"]
    await storage.world.admin.delete(type(await storage.world.pod()), "p", "default")
    await storage.until(storage.world.gone)
    await storage.until(storage.detached)
    down = ("NodeUnpublishVolume", "NodeUnstageVolume", "ControllerUnpublishVolume")
    assert storage.calls(*down) == list(down)
    await storage.world.admin.delete(PersistentVolumeClaim, "data", "default")
    await storage.until(_none_left(storage))
    assert "DeleteVolume" in storage.driver.calls


def _none_left(storage: Storage) -> Callable[[], Awaitable[bool]]:
    async def none_left() -> bool:
        return not (await storage.world.admin.list(PersistentVolume)).items

    return none_left


async def test_a_volume_two_pods_use_is_staged_once(storage: Storage) -> None:
    await storage.claim()
    await storage.pod("a")
    await storage.pod("b")
    await storage.until(lambda: storage.world.is_ready("a"))
    await storage.until(lambda: storage.world.is_ready("b"))
    assert storage.calls("NodeStageVolume") == ["NodeStageVolume"]
    kind = type(await storage.world.pod("a"))
    await storage.world.admin.delete(kind, "a", "default")
    await storage.until(lambda: storage.world.gone("a"))
    assert "NodeUnstageVolume" not in storage.driver.calls
    await storage.world.admin.delete(kind, "b", "default")
    await storage.until(storage.detached)
    assert storage.calls("NodeUnstageVolume") == ["NodeUnstageVolume"]


async def test_a_claim_that_grows_is_grown_on_the_node_too(storage: Storage) -> None:
    await storage.claim()
    await storage.pod()
    await storage.until(storage.world.is_ready)
    larger = {"spec": {"resources": {"requests": {"storage": "64Mi"}}}}
    await storage.world.admin.patch(PersistentVolumeClaim, "data", "default", larger)

    async def grown() -> PersistentVolumeClaim | None:
        claim = await storage.world.admin.get(PersistentVolumeClaim, "data", "default")
        return claim if claim.status.capacity["storage"] == "64Mi" else None

    claim = await storage.until(grown)
    assert claim.status.conditions == ()
    assert claim.status.allocated_resource_statuses == {}
    assert storage.calls("ControllerExpandVolume", "NodeExpandVolume") == ["ControllerExpandVolume", "NodeExpandVolume"]


async def test_room_is_told_of_while_it_is_asked_for(storage: Storage) -> None:
    assert (await storage.world.admin.list(CSIStorageCapacity)).items == ()
    await storage.world.admin.patch(CSIDriver, NAME, "", {"spec": {"storageCapacity": True}})

    async def told(size: str) -> CSIStorageCapacity | None:
        found = (await storage.world.admin.list(CSIStorageCapacity, "kube-system")).items
        return found[0] if [str(one.capacity) for one in found] == [size] else None

    capacity = await storage.until(lambda: told("8Gi"))
    assert capacity.storage_class_name == "disk"
    assert capacity.node_topology.match_labels == PLACE
    await storage.claim(resources={"requests": {"storage": "1Gi"}})
    await storage.until(lambda: told("7Gi"))
    await storage.world.admin.patch(CSIDriver, NAME, "", {"spec": {"storageCapacity": False}})

    async def withdrawn() -> bool:
        return not (await storage.world.admin.list(CSIStorageCapacity)).items

    await storage.until(withdrawn)


async def test_a_claim_that_cannot_grow_says_so(storage: Storage) -> None:
    await storage.claim()
    await storage.pod()
    await storage.until(storage.world.is_ready)
    larger = {"spec": {"resources": {"requests": {"storage": "1Ti"}}}}
    await storage.world.admin.patch(PersistentVolumeClaim, "data", "default", larger)

    async def refused() -> bool:
        claim = await storage.world.admin.get(PersistentVolumeClaim, "data", "default")
        return claim.status.allocated_resource_statuses.get("storage") == "ControllerResizeInfeasible"

    await storage.until(refused)
    (words, *_) = await storage.words("VolumeResizeFailed")
    assert words.endswith("rpc error: code = OutOfRange desc = a disk has 8589934592 bytes at most")


async def test_a_new_kubelet_takes_back_what_the_last_one_left(storage: Storage) -> None:
    await storage.claim()
    await storage.pod()
    await storage.until(storage.world.is_ready)
    await storage.world.stop()
    kind = type(await storage.world.pod())
    await storage.world.admin.delete(kind, "p", "default", grace_period_seconds=0)
    await storage.until(storage.world.gone)
    await storage.world.start()
    await storage.until(storage.detached)
    assert storage.calls("NodeUnpublishVolume", "NodeUnstageVolume") == ["NodeUnpublishVolume", "NodeUnstageVolume"]
    assert list((storage.world.config.data_dir / "plugins").glob("**/vol_data.json")) == []


async def test_the_drivers_refusals_reach_users(storage: Storage) -> None:
    faults = {"ControllerPublishVolume": {"code": "INTERNAL", "message": "no cable", "times": 1}}
    (storage.folder / "faults.json").write_text(json.dumps(faults))
    await storage.claim()
    await storage.pod()
    await storage.until(storage.world.is_ready)
    (volume,) = (await storage.world.admin.list(PersistentVolume)).items
    name = volume.metadata.name
    said = await storage.words("FailedAttachVolume")
    assert said == [f'AttachVolume.Attach failed for volume "{name}" : rpc error: code = Internal desc = no cable']
    assert await storage.words("SuccessfulAttachVolume") == [f'AttachVolume.Attach succeeded for volume "{name}" ']


async def test_unbound_claims_are_told_of_and_waited_for(storage: Storage) -> None:
    await storage.pod()
    reason = (
        "Unable to attach or mount volumes: unmounted volumes=[v], unattached volumes=[], "
        "failed to process volumes=[v]: error processing PVC default/data: failed to fetch PVC from API server: "
        'persistentvolumeclaims "data" not found'
    )

    async def told() -> bool:
        return reason in await storage.words("FailedMount")

    await storage.until(told)
    await storage.claim()
    await storage.until(storage.world.is_ready)


async def test_inline_volumes_are_told_of_their_pod_and_need_leave_to_be(storage: Storage) -> None:
    inline = {"driver": NAME, "volumeAttributes": {"colour": "blue"}, "nodePublishSecretRef": {"name": "key"}}
    await storage.put(
        Secret, {"metadata": {"name": "key", "namespace": "default"}, "stringData": {"user": "me"}, "data": {}}
    )
    await storage.world.create("p", {"volumes": [{"name": "v", "csi": inline}]})
    refusal = (
        f'MountVolume.SetUp failed for volume "v" : volume mode "Ephemeral" not supported by driver {NAME} '
        '(only supports ["Persistent"])'
    )

    async def told() -> bool:
        return refusal in await storage.words("FailedMount")

    await storage.until(told)
    with pytest.raises(ApiError):
        # Modes cannot be changed afterwards.
        await storage.world.admin.patch(CSIDriver, NAME, "", {"spec": {"volumeLifecycleModes": ["Ephemeral"]}})
    await storage.world.admin.delete(CSIDriver, NAME)
    modes = {"podInfoOnMount": True, "volumeLifecycleModes": ["Ephemeral"]}
    await storage.put(CSIDriver, {"metadata": {"name": NAME}, "spec": modes})
    await storage.until(storage.world.is_ready)
    (given,) = (storage.folder / "inline").glob("*/context.json")
    told_of = json.loads(given.read_text())
    context = told_of["context"]
    assert context["colour"] == "blue"
    assert context["csi.storage.k8s.io/pod.name"] == "p"
    assert context["csi.storage.k8s.io/ephemeral"] == "true"
    assert told_of["secrets"] == {"user": "me"}
    await storage.world.admin.delete(type(await storage.world.pod()), "p", "default")
    await storage.until(storage.world.gone)
    assert list((storage.folder / "inline").iterdir()) == []


async def test_secrets_of_a_class_reach_the_calls_they_are_for(storage: Storage) -> None:
    kinds = ("provisioner", "controller-publish", "node-stage", "node-publish", "controller-expand", "node-expand")
    given = {}
    for kind in kinds:
        given[f"csi.storage.k8s.io/{kind}-secret-name"] = f"{kind}-${{pvc.name}}"
        given[f"csi.storage.k8s.io/{kind}-secret-namespace"] = "kube-system"
        meta = {"name": f"{kind}-data", "namespace": "kube-system"}
        await storage.put(Secret, {"metadata": meta, "stringData": {"for": kind}})
    body = {"metadata": {"name": "secret"}, "provisioner": NAME, "volumeBindingMode": "Immediate", "parameters": given}
    await storage.put(StorageClass, {**body, "allowVolumeExpansion": True})
    await storage.claim(storage_class="secret")
    await storage.pod()
    await storage.until(storage.world.is_ready)
    larger = {"spec": {"resources": {"requests": {"storage": "64Mi"}}}}
    await storage.world.admin.patch(PersistentVolumeClaim, "data", "default", larger)

    async def grown() -> bool:
        return "NodeExpandVolume" in storage.driver.secrets

    await storage.until(grown)
    methods = (
        "CreateVolume",
        "ControllerPublishVolume",
        "NodeStageVolume",
        "NodePublishVolume",
        "ControllerExpandVolume",
        "NodeExpandVolume",
    )
    assert [storage.driver.secrets[method] for method in methods] == [{"for": kind} for kind in kinds]


async def test_volumes_are_published_again_for_drivers_that_ask(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mounter, "REPUBLISH_SECONDS", 0.0)
    await storage.world.admin.patch(CSIDriver, NAME, "", {"spec": {"requiresRepublish": True}})
    await storage.claim()
    await storage.pod()
    await storage.until(storage.world.is_ready)

    async def published() -> bool:
        return len(storage.calls("NodePublishVolume")) >= 3

    await storage.until(published)
    assert storage.calls("NodeStageVolume") == ["NodeStageVolume"]


class Flaky(TestDriver):
    """Fails some calls before they do anything, and others after they have done it: answers get lost."""

    def __init__(self, config: DriverConfig, seed: int) -> None:
        super().__init__(config, FolderDisks())
        self._draw = random.Random(seed)
        self.flaky = False

    async def call(self, method: str, request: Any) -> Any:
        chance = self._draw.random() if self.flaky else 1.0
        if chance < 0.15:
            raise Refuse(grpc.StatusCode.UNAVAILABLE, "not now")
        answer = await super().call(method, request)
        if chance < 0.3:
            raise Refuse(grpc.StatusCode.DEADLINE_EXCEEDED, "too late")
        return answer


@pytest.mark.parametrize("seed", [0, 2])
async def test_a_driver_whose_answers_get_lost_ends_where_one_does_that_answers(storage: Storage, seed: int) -> None:
    flaky = Flaky(storage.driver.config, seed)
    storage.server.use(flaky)
    flaky.flaky = True
    names = ("a", "b", "c")
    for name in names:
        await storage.claim(name)
        await storage.pod(name, name)
    for name in names:
        await storage.until(lambda n=name: storage.world.is_ready(n))  # type: ignore[misc]
    kind = type(await storage.world.pod("a"))
    for name in names:
        await storage.world.admin.delete(kind, name, "default")
        await storage.world.admin.delete(PersistentVolumeClaim, name, "default")
    await storage.until(_none_left(storage))
    await storage.until(storage.detached)
    assert list((storage.folder / "disks").iterdir()) == []
    assert list((storage.world.config.data_dir / "plugins").glob("**/vol_data.json")) == []


async def test_a_driver_that_starts_again_is_registered_again(storage: Storage) -> None:
    await storage.server.stop()
    storage.server.registered.clear()
    await storage.server.start()

    async def told() -> bool:
        return storage.server.registered == [(True, "")]

    await storage.until(told)
    await storage.claim()
    await storage.pod()
    await storage.until(storage.world.is_ready)
