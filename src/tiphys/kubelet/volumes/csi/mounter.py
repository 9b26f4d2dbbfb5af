"""CSI volumes for pods: staged once a node, published once a pod, and taken back in reverse."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tiphys.api.csi_volumes import attachment_name
from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import Pod, Secret
from tiphys.api.types.storage_v1 import CSIDriver, VolumeAttachment
from tiphys.base.clock import Clock
from tiphys.base.logging import get_logger
from tiphys.client.client import Client
from tiphys.csi.errors import CsiError
from tiphys.csi.types import Capability, VolumeUsage
from tiphys.csi.wire import NodeRpc
from tiphys.kubelet.spec.names import uid_of
from tiphys.kubelet.volumes import ownership
from tiphys.kubelet.volumes.csi import facts as driver_facts
from tiphys.kubelet.volumes.csi.expansion import grow
from tiphys.kubelet.volumes.csi.facts import DriverFacts
from tiphys.kubelet.volumes.csi.layout import CsiLayout, Published, VolumeRecord, forget, write_record
from tiphys.kubelet.volumes.csi.plugins import Plugin, Plugins
from tiphys.kubelet.volumes.csi.stages import Stage, Stages
from tiphys.kubelet.volumes.csi.volume import PERSISTENT, CsiVolume, Reference
from tiphys.kubelet.volumes.mounted import MountedVolume
from tiphys.kubelet.volumes.mounts import is_mounted
from tiphys.kubelet.volumes.node_volumes import NodeVolumes
from tiphys.kubelet.volumes.payload import MountError, VolumeError, VolumeWaits
from tiphys.kubelet.volumes.tokens import Tokens

REPUBLISH_SECONDS: Final = 60.0
Tell = Callable[[object, str, str, str], None]
"""(object, event type, reason, message)"""
_logger = get_logger(__name__)


@dataclass(slots=True)
class InPlace:
    """A volume a pod of this process has: what keeping it up to date needs."""

    pod: Pod
    volume: CsiVolume
    facts: DriverFacts
    published_at: float


class CsiVolumes:
    """`mount` and `unmount_pod` are idempotent and may be repeated after any failure. `keep_up` runs them on."""

    def __init__(
        self,
        client: Client,
        plugins: Plugins,
        layout: CsiLayout,
        node: NodeVolumes,
        tokens: Tokens,
        clock: Clock,
        *,
        node_name: str,
        tell: Tell,
    ) -> None:
        self._client = client
        self._plugins = plugins
        self._layout = layout
        self._node = node
        self._tokens = tokens
        self._clock = clock
        self._node_name = node_name
        self._tell = tell
        self._stages = Stages(layout, node)
        self._in_place: dict[tuple[str, str], InPlace] = {}
        self._unstaging: set[asyncio.Task[None]] = set()

    # -- up --------------------------------------------------------------------------------------------------------

    async def mount(self, pod: Pod, volume: CsiVolume) -> MountedVolume:
        """Raises VolumeError, ApiError and OSError."""
        uid = uid_of(pod)
        facts = driver_facts.of_object(volume.driver, await self._driver_object(volume.driver))
        driver_facts.check_lifecycle_mode(volume, facts)
        target = self._layout.target(volume, uid)
        stage = self._stages.use(volume.unique, uid) if volume.lifecycle_mode == PERSISTENT else Stage()
        if not is_mounted(target):
            await self._bring_up(pod, volume, facts, stage, target)
        elif (uid, volume.name) not in self._in_place:
            _logger.debug("volume was mounted before", pod=pod.metadata.name, volume=volume.name)
        self._in_place[uid, volume.name] = InPlace(pod, volume, facts, self._clock.monotonic())
        return MountedVolume(target, volume.read_only, device=volume.block)

    async def _bring_up(self, pod: Pod, volume: CsiVolume, facts: DriverFacts, stage: Stage, target: Path) -> None:
        publish_context: dict[str, str] = {}
        attachment = ""
        if volume.lifecycle_mode == PERSISTENT:
            if facts.attach_required:
                attachment = attachment_name(volume.handle, volume.driver, self._node_name)
                publish_context = await self._attached(volume, attachment)
            else:
                await self._node.wait_reported(volume.unique)
        plugin = self._plugin(volume)
        record = VolumeRecord(
            name=volume.name,
            handle=volume.handle,
            driver=volume.driver,
            node_name=self._node_name,
            attachment=attachment,
            lifecycle_mode=volume.lifecycle_mode,
        )
        async with stage.lock:
            if volume.lifecycle_mode == PERSISTENT:
                await self._stage(pod, plugin, volume, facts, stage, record, publish_context)
            await self._publish(pod, plugin, volume, facts, stage.staging, record, publish_context)
        if driver_facts.gives_to_group(volume, facts) and not plugin.can(NodeRpc.VOLUME_MOUNT_GROUP):
            await ownership.apply_fs_group(pod, target)
        await grow(self._client, plugin, volume, pod, target, stage.staging, await self._secret(volume.expand_secret),
                   self._capability(plugin, volume, pod), self._tell)  # fmt: skip

    async def _attached(self, volume: CsiVolume, attachment: str) -> dict[str, str]:
        """What the attacher learnt from the driver. Raises VolumeWaits until the volume is attached here."""
        await self._node.wait_reported(volume.unique)
        if not self._node.attached(volume.unique):
            raise VolumeWaits(f"volume {volume.name} is not attached yet")
        try:
            found = await self._client.get(VolumeAttachment, attachment)
        except ApiError as error:
            # 403: of an attachment that an apiserver does not know yet, it cannot say that it is ours.
            if error.code not in (403, 404):
                raise
            raise VolumeWaits(f"volume attachment {attachment} is not there yet") from None
        if found.metadata.deletion_timestamp is not None or not found.status.attached:
            raise VolumeWaits(f"volume {volume.name} is not attached")
        return found.status.attachment_metadata

    def _plugin(self, volume: CsiVolume) -> Plugin:
        plugin = self._plugins.get(volume.driver)
        if plugin is None:
            call, detail = "MountVolume.MountDevice", "attacher.MountDevice failed to create newCsiDriverClient"
            if volume.claimed is None:
                call, detail = "MountVolume.SetUp", "mounter.SetUpAt failed to get CSI client"
            missing = f"driver name {volume.driver} not found in the list of registered CSI drivers"
            raise MountError(f'{call} failed for volume "{volume.name}" : kubernetes.io/csi: {detail}: {missing}')
        return plugin

    def _capability(self, plugin: Plugin, volume: CsiVolume, pod: Pod) -> Capability:
        group = ownership.fs_group(pod)
        mount_group = str(group) if group is not None and plugin.can(NodeRpc.VOLUME_MOUNT_GROUP) else ""
        multi_writer = plugin.can(NodeRpc.SINGLE_NODE_MULTI_WRITER)
        return volume.capability(multi_writer=multi_writer, mount_group=mount_group)

    async def _stage(
        self,
        pod: Pod,
        plugin: Plugin,
        volume: CsiVolume,
        facts: DriverFacts,
        stage: Stage,
        record: VolumeRecord,
        publish_context: dict[str, str],
    ) -> None:
        if stage.confirmed or not plugin.can(NodeRpc.STAGE_UNSTAGE_VOLUME):
            return
        staging, folder = self._layout.staging(volume), self._layout.stage_folder(volume)
        secrets = await self._secret(volume.stage_secret)
        stage.record, stage.staging, stage.folder = record, staging, folder
        write_record(folder, record)
        staging.mkdir(mode=0o750, parents=True, exist_ok=True)
        try:
            await plugin.driver.node_stage(
                volume.handle,
                staging,
                self._capability(plugin, volume, pod),
                publish_context=publish_context,
                volume_context=volume.attributes,
                secrets=secrets,
            )
        except CsiError as error:
            call = "MapVolume.SetUpDevice" if volume.block else "MountVolume.MountDevice"
            raise MountError(f'{call} failed for volume "{volume.name}" : {error}') from None
        stage.confirmed = True

    async def _publish(
        self,
        pod: Pod,
        plugin: Plugin,
        volume: CsiVolume,
        facts: DriverFacts,
        staging: Path | None,
        record: VolumeRecord,
        publish_context: dict[str, str],
    ) -> None:
        uid = uid_of(pod)
        target = self._layout.target(volume, uid)
        secrets = await self._secret(volume.publish_secret)
        context = {**volume.attributes, **driver_facts.pod_attributes(volume, pod, facts)}
        tokens = await driver_facts.token_attributes(pod, facts, self._tokens)
        if facts.spec.service_account_token_in_secrets:
            secrets.update(tokens)
        else:
            context.update(tokens)
        write_record(self._layout.pod_folder(volume, uid), record)
        target.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        try:
            await plugin.driver.node_publish(
                volume.handle,
                target,
                self._capability(plugin, volume, pod),
                staging_path=staging,
                read_only=volume.read_only,
                publish_context=publish_context,
                volume_context=context,
                secrets=secrets,
            )
        except CsiError as error:
            call = "MapVolume.MapPodDevice" if volume.block else "MountVolume.SetUp"
            raise MountError(f'{call} failed for volume "{volume.name}" : {error}') from None

    async def _secret(self, reference: Reference | None) -> dict[str, str]:
        """A Secret's entries. Raises ApiError and VolumeError."""
        if reference is None:
            return {}
        namespace, name = reference
        try:
            found = await self._client.get(Secret, name, namespace)
        except ApiError as error:
            raise VolumeError(f"fetching NodeStageSecretRef {namespace}/{name} failed: {error.message}") from None
        return {key: base64.b64decode(value).decode(errors="replace") for key, value in found.data.items()}

    async def _driver_object(self, name: str) -> CSIDriver | None:
        try:
            return await self._client.get(CSIDriver, name)
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    # -- down ------------------------------------------------------------------------------------------------------

    async def unmount_pod(self, uid: str) -> None:
        """Take back all CSI volumes of a pod whose containers are gone. Raises OSError; repeat until it does not."""
        for published in self._layout.published(uid):
            await self._unpublish(published)
            self._in_place.pop((uid, published.record.name), None)
        for key in [k for k in self._in_place if k[0] == uid]:
            del self._in_place[key]
        self._stages.leave(uid)
        self._begin_unstaging()

    async def _unpublish(self, published: Published) -> None:
        record = published.record
        plugin = self._plugins.get(record.driver)
        if plugin is None:
            raise OSError(f"driver name {record.driver} not found in the list of registered CSI drivers")
        try:
            await plugin.driver.node_unpublish(record.handle, published.target)
        except CsiError as error:
            raise OSError(f'UnmountVolume.TearDown failed for volume "{record.name}" : {error}') from None
        if is_mounted(published.target):
            raise OSError(f"{published.target} is still mounted, though the driver says that it is not")
        if published.block:
            published.target.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                published.target.parent.rmdir()
        forget(published.folder)

    def _begin_unstaging(self) -> None:
        if self._stages.unused():
            task = asyncio.get_running_loop().create_task(self.unstage_unused(), name="unstage")
            self._unstaging.add(task)
            task.add_done_callback(self._unstaging.discard)

    async def unstage_unused(self) -> None:
        """Unstage what no pod uses; what fails is tried again by the next call."""
        for unique, stage in self._stages.unused():
            async with stage.lock:
                # While the lock was waited for, a pod may have come for it, or another round have been here.
                if stage.users or not self._stages.holds(unique, stage):
                    continue
                try:
                    await self._unstage(stage)
                except (CsiError, OSError) as error:
                    name = stage.record.name if stage.record is not None else unique
                    _logger.warning("UnmountDevice failed", volume=name, error=str(error))
                    continue
                # A pod that came meanwhile finds nothing staged, and keeps the volume in use.
                stage.record = stage.staging = stage.folder = None
                if not stage.users:
                    self._stages.drop(unique)

    async def _unstage(self, stage: Stage) -> None:
        if stage.record is None or stage.staging is None or stage.folder is None:
            return
        plugin = self._plugins.get(stage.record.driver)
        if plugin is None:
            raise OSError(f"driver name {stage.record.driver} not found in the list of registered CSI drivers")
        stage.confirmed = False
        await plugin.driver.node_unstage(stage.record.handle, stage.staging)
        if is_mounted(stage.staging):
            raise OSError(f"{stage.staging} is still mounted, though the driver says that it is not")
        with contextlib.suppress(FileNotFoundError):
            stage.staging.rmdir()
        forget(stage.folder)

    async def close(self) -> None:
        """Let go of what is under way; it is all on disk."""
        for task in list(self._unstaging):
            task.cancel()
        await asyncio.gather(*self._unstaging, return_exceptions=True)

    # -- meanwhile -------------------------------------------------------------------------------------------------

    async def keep_up(self) -> None:
        """One round: unstage what is left over, grow volumes whose claims grew, republish where drivers want it."""
        await self.unstage_unused()
        for key, place in list(self._in_place.items()):
            try:
                await self._keep_up(place)
            except (VolumeError, ApiError, OSError, TimeoutError) as error:
                _logger.info("volume not kept up", volume=place.volume.name, pod_uid=key[0], error=str(error))

    async def _keep_up(self, place: InPlace) -> None:
        volume, plugin = place.volume, self._plugins.get(place.volume.driver)
        if plugin is None:
            return
        target = self._layout.target(volume, uid_of(place.pod))
        staging = self._staging(volume)
        if volume.claimed is not None and plugin.can(NodeRpc.EXPAND_VOLUME):
            capability = self._capability(plugin, volume, place.pod)
            await grow(self._client, plugin, volume, place.pod, target, staging,
                       await self._secret(volume.expand_secret), capability, self._tell)  # fmt: skip
        now = self._clock.monotonic()
        if place.facts.requires_republish and now - place.published_at >= REPUBLISH_SECONDS:
            record = VolumeRecord(
                name=volume.name,
                handle=volume.handle,
                driver=volume.driver,
                node_name=self._node_name,
                lifecycle_mode=volume.lifecycle_mode,
            )
            await self._publish(place.pod, plugin, volume, place.facts, staging, record, {})
            place.published_at = now

    def _staging(self, volume: CsiVolume) -> Path | None:
        staging = self._layout.staging(volume)
        return staging if volume.claimed is not None and staging.exists() else None

    async def usage(self, uid: str) -> dict[str, VolumeUsage]:
        """By the pod's names of its volumes, how full they are: of those whose drivers tell."""
        found = {}
        for (owner, _), place in list(self._in_place.items()):
            plugin = self._plugins.get(place.volume.driver) if owner == uid else None
            if plugin is None or not plugin.can(NodeRpc.GET_VOLUME_STATS):
                continue
            target = self._layout.target(place.volume, uid)
            try:
                usage = await plugin.driver.node_volume_stats(place.volume.handle, target, self._staging(place.volume))
            except CsiError:
                continue
            found[place.volume.pod_volume] = usage
        return found
