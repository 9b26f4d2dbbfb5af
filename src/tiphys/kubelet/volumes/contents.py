"""What is written into configMap, secret, downwardAPI and projected volumes."""

from __future__ import annotations

from typing import Final

from tiphys.api.types.core_v1 import Pod, ServiceAccountTokenProjection, Volume, VolumeProjection
from tiphys.kubelet.spec.downward import NodeFacts
from tiphys.kubelet.spec.environment import data_of
from tiphys.kubelet.spec.names import uid_of
from tiphys.kubelet.volumes.atomic import FileContent
from tiphys.kubelet.volumes.objects import ObjectKey, ReferencedObjects
from tiphys.kubelet.volumes.payload import VolumeError, downward_files, keyed_files
from tiphys.kubelet.volumes.tokens import DEFAULT_SECONDS, Tokens

DEFAULT_MODE: Final = 0o644


class Contents:
    """Files of volumes that are made from API objects."""

    def __init__(self, objects: ReferencedObjects, tokens: Tokens) -> None:
        self._objects = objects
        self._tokens = tokens
        self.renew_at: dict[str, float] = {}
        """By pod, when the first of its tokens is to be renewed."""

    @staticmethod
    def makes(volume: Volume) -> bool:
        return Contents.plugin(volume)[0] != ""

    @staticmethod
    def plugin(volume: Volume) -> tuple[str, bool]:
        """(folder's plugin name, kept in memory): secrets and tokens never touch a disk."""
        if volume.config_map is not None:
            return "configmap", False
        if volume.secret is not None:
            return "secret", True
        if volume.downward_api is not None:
            return "downward-api", False
        if volume.projected is not None:
            return "projected", True
        return "", False

    def begin(self, uid: str) -> None:
        """All of the pod's contents are about to be made again."""
        self.renew_at.pop(uid, None)

    def release(self, uid: str) -> None:
        self.renew_at.pop(uid, None)
        self._tokens.release(uid)

    async def files(self, pod: Pod, volume: Volume, facts: NodeFacts) -> dict[str, FileContent]:
        """By relative path. Raises VolumeError and ApiError."""
        if volume.config_map is not None:
            source = volume.config_map
            mode = DEFAULT_MODE if source.default_mode is None else source.default_mode
            entries = await self._entries(pod, "ConfigMap", source.name or "", bool(source.optional))
            return keyed_files(entries, source.items, mode, optional=bool(source.optional))
        if volume.secret is not None:
            secret = volume.secret
            mode = DEFAULT_MODE if secret.default_mode is None else secret.default_mode
            entries = await self._entries(pod, "Secret", secret.secret_name or "", bool(secret.optional))
            return keyed_files(entries, secret.items, mode, optional=bool(secret.optional))
        if volume.downward_api is not None:
            downward = volume.downward_api
            mode = DEFAULT_MODE if downward.default_mode is None else downward.default_mode
            return downward_files(pod, downward.items, mode, facts)
        files: dict[str, FileContent] = {}
        if volume.projected is not None:
            mode = DEFAULT_MODE if volume.projected.default_mode is None else volume.projected.default_mode
            for projection in volume.projected.sources:
                files.update(await self._projected(pod, projection, mode, facts))
        return files

    async def _entries(self, pod: Pod, kind: str, name: str, optional: bool) -> dict[str, bytes]:
        key = ObjectKey(kind, pod.metadata.namespace or "", name)
        found = await self._objects.get(uid_of(pod), key)
        if found is None:
            if optional:
                return {}
            raise VolumeError(f'{kind.lower()} "{name}" not found')
        return data_of(found)

    async def _projected(
        self, pod: Pod, projection: VolumeProjection, mode: int, facts: NodeFacts
    ) -> dict[str, FileContent]:
        if projection.config_map is not None:
            source = projection.config_map
            entries = await self._entries(pod, "ConfigMap", source.name or "", bool(source.optional))
            return keyed_files(entries, source.items, mode, optional=bool(source.optional))
        if projection.secret is not None:
            secret = projection.secret
            entries = await self._entries(pod, "Secret", secret.name or "", bool(secret.optional))
            return keyed_files(entries, secret.items, mode, optional=bool(secret.optional))
        if projection.downward_api is not None:
            return downward_files(pod, projection.downward_api.items, mode, facts)
        if projection.service_account_token is not None:
            return await self._token(pod, projection.service_account_token, mode)
        raise VolumeError("unsupported projection source")

    async def _token(self, pod: Pod, source: ServiceAccountTokenProjection, mode: int) -> dict[str, FileContent]:
        seconds = source.expiration_seconds or DEFAULT_SECONDS
        token = await self._tokens.get(pod, source.audience or "", seconds)
        uid = uid_of(pod)
        self.renew_at[uid] = min(self.renew_at.get(uid, token.renew_at), token.renew_at)
        user = _only_user(pod)
        context = pod.spec.security_context
        private = user is not None or (context is not None and context.fs_group is not None)
        return {source.path: FileContent(token.value.encode(), 0o600 if private else mode, user)}


def _only_user(pod: Pod) -> int | None:
    """The user all containers run as, when they say so and agree: tokens become theirs alone."""
    shared = pod.spec.security_context.run_as_user if pod.spec.security_context is not None else None
    users = set()
    for container in (*pod.spec.init_containers, *pod.spec.containers):
        own = container.security_context.run_as_user if container.security_context is not None else None
        users.add(own if own is not None else shared)
    return users.pop() if len(users) == 1 else None
