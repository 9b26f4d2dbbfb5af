"""Approval: some pods keep their place but do not start before somebody has said yes in a ConfigMap."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from tiphys.api.types.core_v1 import ConfigMap, Pod
from tiphys.scheduler.framework import Plugin, Wait
from tiphys.scheduler.template import PodInfo

NEEDED: Final = "example.com/needs-approval"
"""Pod annotation: ``true`` if the pod waits for an approval."""
APPROVED_FOR: Final = "example.com/approved-for"
"""Pod annotation that this plugin writes: the node."""
CONFIG_MAP: Final = "approvals"
"""Its keys are the names of the pods of its namespace that are approved."""


class ApprovalArgs(msgspec.Struct, rename="camel", frozen=True):
    timeout_seconds: float = 300.0
    """How long a pod keeps its place; then it is tried again."""


class Approval(Plugin):
    name = "Approval"
    args_type = ApprovalArgs

    def __init__(self, args: Any = None, handle: Any = None) -> None:
        super().__init__(args, handle)
        self._maps = handle.informer(ConfigMap)
        self._maps.add_handler(on_add=self._seen, on_update=lambda _, new: self._seen(new))

    def permit(self, info: PodInfo, node_name: str) -> Wait | None:
        if not _is_needed(info) or self._is_given(info):
            return None
        return Wait(self.args.timeout_seconds)

    def has_work(self, info: PodInfo) -> bool:
        return _is_needed(info)

    async def pre_bind(self, info: PodInfo, node_name: str) -> None:
        namespace, name = info.key
        body = {"metadata": {"annotations": {APPROVED_FOR: node_name}}}
        await self.handle.client.patch(Pod, name, namespace, body)

    def _seen(self, config_map: ConfigMap) -> None:
        if config_map.metadata.name == CONFIG_MAP:
            for waiting in self.handle.waiting:
                if self._is_given(waiting.info):
                    self.handle.waiting.allow(waiting.info.key, self.name)

    def _is_given(self, info: PodInfo) -> bool:
        namespace, name = info.key
        config_map = self._maps.get(CONFIG_MAP, namespace)
        return config_map is not None and name in config_map.data


def _is_needed(info: PodInfo) -> bool:
    return info.pod.metadata.annotations.get(NEEDED) == "true"
