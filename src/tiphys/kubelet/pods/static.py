"""Static pods: manifests in a folder of the node, run without the API, shown in it by mirror pods.

    file ──read, named, hashed──> pod (uid: the hash) ──> PodManager
                                       └──> mirror in the API (annotation config.mirror: the hash); made again if lost

A changed file is another pod: the old one ends, the new one starts.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import yaml
from msgspec.structs import replace

from tiphys.api import codec, validation
from tiphys.api.defaulting import default
from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import Node, Pod, PodStatus, Toleration
from tiphys.api.types.meta_v1 import ObjectMeta, OwnerReference
from tiphys.base.clock import Clock
from tiphys.base.logging import get_logger
from tiphys.client.client import Client
from tiphys.kubelet.inotify import FolderWatch
from tiphys.kubelet.spec.names import CONFIG_HASH, CONFIG_MIRROR, CONFIG_SOURCE, key_of

SETTLE_SECONDS: Final = 0.2
"""Editors write a file in several steps: changes are looked at after a pause."""
RETRY_SECONDS: Final = 2.0
_logger = get_logger(__name__)


class ManifestError(ValueError):
    """A file that is no pod; the text says why."""


class Running(Protocol):
    """What runs static pods: the PodManager."""

    def add_static(self, pod: Pod) -> None: ...

    def remove_static(self, uid: str) -> None: ...


def static_pod(text: bytes, node_name: str) -> Pod:
    """The pod of a manifest (YAML or JSON) as it runs on the node. Raises ManifestError."""
    try:
        body: Any = yaml.safe_load(text)
        if not isinstance(body, dict) or body.get("kind") != "Pod":
            raise ManifestError("not a Pod")
        pod = default(codec.from_dict(Pod, body))
    except (yaml.YAMLError, msgspec.ValidationError, TypeError) as error:
        raise ManifestError(str(error)) from None
    uid = hashlib.md5(text + node_name.encode(), usedforsecurity=False).hexdigest()
    meta = pod.metadata
    everything = Toleration(operator="Exists", effect="NoExecute")
    pod = replace(
        pod,
        metadata=ObjectMeta(
            name=f"{meta.name}-{node_name}",
            namespace=meta.namespace or "default",
            uid=uid,
            labels=meta.labels,
            annotations={**meta.annotations, CONFIG_HASH: uid, CONFIG_SOURCE: "file"},
        ),
        spec=replace(pod.spec, node_name=node_name, tolerations=(*pod.spec.tolerations, everything)),
        status=PodStatus(),
    )
    refused = validation.validate_create(replace(pod, metadata=replace(pod.metadata, uid=None)))
    if refused:
        raise ManifestError("; ".join(f"{e.field}: {e.message}" for e in refused))
    return pod


def mirror_of(pod: Pod, node: Node) -> Pod:
    """The object that shows a static pod in the API."""
    owner = OwnerReference(
        api_version="v1", kind="Node", name=node.metadata.name or "", uid=node.metadata.uid or "", controller=True
    )
    meta = pod.metadata
    return replace(
        pod,
        metadata=replace(
            meta,
            uid=None,
            annotations={**meta.annotations, CONFIG_MIRROR: meta.uid or ""},
            owner_references=(owner,),
        ),
    )


class StaticPods:
    """Keeps what runs, and the mirrors, as the folder says. `run` until cancelled."""

    def __init__(
        self, client: Client, folder: Path, node_name: str, node: Callable[[], Node | None], clock: Clock
    ) -> None:
        """`node` gives the node's object once it is registered: mirrors are owned by it."""
        self._client = client
        self._folder = folder
        self._node_name = node_name
        self._node = node
        self._clock = clock
        self._pods: dict[str, Pod] = {}
        self._mirrored: set[str] = set()
        self._unwanted: dict[str, Pod] = {}
        self._work = asyncio.Event()

    async def run(self, running: Running) -> None:
        """Follow the folder and keep the mirrors."""
        self._folder.mkdir(parents=True, exist_ok=True)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(running), name="manifests")
            group.create_task(self._keep_mirrors(), name="mirrors")

    def poke(self) -> None:
        """The node's object is known now."""
        self._work.set()

    # -- Mirrors, for the PodManager -------------------------------------------------------------------------------

    def seen(self, mirror: Pod) -> None:
        uid = mirror.metadata.annotations[CONFIG_MIRROR]
        if mirror.metadata.deletion_timestamp is not None:
            self.stale(mirror)
        else:
            self._mirrored.add(uid)

    def lost(self, mirror: Pod) -> None:
        self._mirrored.discard(mirror.metadata.annotations[CONFIG_MIRROR])
        self._work.set()

    def stale(self, mirror: Pod) -> None:
        self._unwanted[mirror.metadata.uid or ""] = mirror
        self._work.set()

    # -- the folder ------------------------------------------------------------------------------------------------

    async def _follow(self, running: Running) -> None:
        never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with FolderWatch(self._folder) as watch:
            while True:
                self._compare(running)
                await watch.changed(never)
                await self._clock.sleep(SETTLE_SECONDS)

    def _compare(self, running: Running) -> None:
        found: dict[str, Pod] = {}
        for path in sorted(self._folder.iterdir()):
            if path.name.startswith(".") or not path.is_file():
                continue
            try:
                pod = static_pod(path.read_bytes(), self._node_name)
            except (ManifestError, OSError) as error:
                _logger.warning("manifest not used", path=path, error=str(error))
                continue
            found[pod.metadata.uid or ""] = pod
        for uid in self._pods.keys() - found.keys():
            _logger.info("static pod removed", pod=key_of(self._pods[uid]))
            running.remove_static(uid)
            self._mirrored.discard(uid)
            gone = self._pods.pop(uid)
            self._unwanted[uid] = mirror_of(gone, Node())
        for uid in found.keys() - self._pods.keys():
            _logger.info("static pod found", pod=key_of(found[uid]))
            self._pods[uid] = found[uid]
            running.add_static(found[uid])
        self._work.set()

    # -- the API ---------------------------------------------------------------------------------------------------

    async def _keep_mirrors(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            try:
                done = await self._keep_mirrors_once()
            except (ApiError, OSError, TimeoutError) as error:
                _logger.info("mirror pods not written; trying again", error=str(error) or repr(error))
                done = False
            if not done:
                asyncio.get_running_loop().call_later(RETRY_SECONDS, self._work.set)

    async def _keep_mirrors_once(self) -> bool:
        """Delete and make what is to be; False when the node is not registered yet."""
        for uid, mirror in list(self._unwanted.items()):
            await self._delete(mirror)
            self._unwanted.pop(uid, None)
        node = self._node()
        if node is None:
            return not self._pods
        for uid, pod in list(self._pods.items()):
            if uid in self._mirrored:
                continue
            try:
                await self._client.create(mirror_of(pod, node))
            except ApiError as error:
                if error.reason != "AlreadyExists":
                    raise
                existing = await self._client.get(Pod, pod.metadata.name or "", pod.metadata.namespace or "")
                if existing.metadata.annotations.get(CONFIG_MIRROR) != uid:
                    await self._delete(existing)
                    return False
            self._mirrored.add(uid)
        return True

    async def _delete(self, mirror: Pod) -> None:
        meta = mirror.metadata
        try:
            current = await self._client.get(Pod, meta.name or "", meta.namespace or "")
            if current.metadata.annotations.get(CONFIG_MIRROR) != meta.annotations.get(CONFIG_MIRROR):
                return
            await self._client.delete(
                Pod, meta.name or "", meta.namespace or "", uid=current.metadata.uid or "", grace_period_seconds=0
            )
        except ApiError as error:
            if error.code not in (404, 409):
                raise
