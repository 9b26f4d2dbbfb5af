"""Container lifecycle hooks: postStart and preStop."""

from __future__ import annotations

import shlex
from typing import Final

from tiphys.api.types.core_v1 import LifecycleHandler
from tiphys.base.clock import Clock
from tiphys.cri.errors import CriError
from tiphys.cri.runtime import Runtime
from tiphys.kubelet.lifecycle.state import AnyContainer
from tiphys.kubelet.probes.ask import http_get

USER_AGENT: Final = "kube-lifecycle/1.36"


class HookError(Exception):
    """The hook did not succeed."""


async def run_hook(
    handler: LifecycleHandler, container: AnyContainer, container_id: str, pod_ip: str, runtime: Runtime, clock: Clock
) -> None:
    """Run to the end; raises HookError. The caller bounds the time it may take."""
    if handler.exec is not None:
        command = handler.exec.command
        try:
            result = await runtime.exec_sync(container_id, command)
        except CriError as error:
            raise HookError(str(error)) from None
        if result.exit_code:
            said = (result.stdout + result.stderr).decode(errors="replace")
            raise HookError(f"command '{shlex.join(command)}' exited with {result.exit_code}: {said}")
    elif handler.http_get is not None:
        try:
            healthy, said = await http_get(handler.http_get, container, pod_ip, USER_AGENT)
        except (TimeoutError, ValueError) as error:
            raise HookError(str(error) or "timed out") from None
        if not healthy:
            raise HookError(said)
    elif handler.sleep is not None:
        await clock.sleep(handler.sleep.seconds)
    else:
        raise HookError("invalid handler")
