"""``python -m tests.csi_driver --socket S --registration R --state DIR --node-id N``: runs until a signal."""

from __future__ import annotations

import argparse
import asyncio
import signal
from pathlib import Path

from tests.csi_driver.disks import LoopDisks
from tests.csi_driver.driver import DriverConfig, TestDriver
from tests.csi_driver.server import DriverServer


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", default="disk.csi.example.org")
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--registration", type=Path)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--node-id", required=True)
    parser.add_argument("--topology", default="", help="key=value")
    parser.add_argument("--no-attach", action="store_true")
    parser.add_argument("--maximum-volumes", type=int, default=0)
    given = parser.parse_args()
    config = DriverConfig(
        given.name,
        given.node_id,
        given.state,
        topology=dict([given.topology.split("=", 1)]) if given.topology else {},
        attaches=not given.no_attach,
        maximum_volumes=given.maximum_volumes,
    )
    server = DriverServer(TestDriver(config, LoopDisks()), given.socket, given.registration)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await server.start()
    await stop.wait()
    await server.stop()


asyncio.run(main())
