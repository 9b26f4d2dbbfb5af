"""The controllers of one CSI driver as a process of their own, beside the driver."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from pathlib import Path

import uvloop

from tiphys.base.logging import configure
from tiphys.client import Client, LeadershipLost, kubeconfig
from tiphys.cmd.config import ConfigError
from tiphys.controllers.csi.config import CsiControllerConfig
from tiphys.controllers.csi.sidecar import CsiController


def csi_controller(
    address: str, credentials: Path, *, leader_elect: bool, strict_topology: bool, extra_create_metadata: bool
) -> None:
    """Run in the foreground until SIGTERM or SIGINT. Raises ConfigError."""
    configure(level=os.environ.get("TIPHYS_LOG_LEVEL", "INFO"))
    if not credentials.exists():
        raise ConfigError(f"--kubeconfig {credentials} is not there")
    config = CsiControllerConfig(
        identity=f"{socket.gethostname()}-{os.getpid()}",
        leader_elect=leader_elect,
        strict_topology=strict_topology,
        extra_create_metadata=extra_create_metadata,
    )
    try:
        uvloop.run(_run(Path(address.removeprefix("unix://")), credentials, config))
    except LeadershipLost as lost:
        raise ConfigError(str(lost)) from None


async def _run(address: Path, credentials: Path, config: CsiControllerConfig) -> None:
    client = Client.from_config(kubeconfig.load(credentials), user_agent="tiphys-csi-controller")
    loop = asyncio.get_running_loop()
    running = loop.create_task(CsiController(client, address, config).run())
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, running.cancel)
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await running
    finally:
        await client.close()
