"""Running components in the foreground until a signal, and telling a service manager how that goes."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from tiphys.base import metrics
from tiphys.base.logging import get_logger
from tiphys.base.pauses import CollectionPauses
from tiphys.base.tasks import Supervisor

Work = Callable[[], Awaitable[None]]
Made = contextlib.AbstractAsyncContextManager[Work]
"""What entering makes ready, and leaving undoes; its value runs until cancelled."""

_logger = get_logger(__name__)


class ProcessOver(Exception):
    """Raised by work that this process cannot do any longer, however often it is begun: a new process must."""


async def run_until_signal(parts: Sequence[tuple[str, Made]]) -> None:
    """Make the parts in order, run them together until SIGTERM or SIGINT, undo them in reverse order.

    Raises what making one raises, and ProcessOver as soon as work does. systemd (or who else set NOTIFY_SOCKET) hears
    when all are made and when they end.
    """
    stop = asyncio.Event()
    over: list[ProcessOver] = []

    async def guarded(work: Work) -> None:
        try:
            await work()
        except ProcessOver as error:
            over.append(error)
            stop.set()
            await asyncio.Event().wait()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        _measure_pauses(stack)
        # What is made while starting is kept: collections would only look at it again and again.
        gc.disable()
        stack.callback(gc.enable)
        runs = [(name, await stack.enter_async_context(made)) for name, made in parts]
        supervisor = await stack.enter_async_context(Supervisor("process"))
        for name, work in runs:
            supervisor.spawn(partial(guarded, work), name)
        # What exists now lives as long as the process: keep it out of every collection.
        gc.freeze()
        gc.enable()
        notify("READY=1")
        await stop.wait()
        notify("STOPPING=1")
        _logger.info("stopping", components=",".join(name for name, _ in parts))
    if over:
        raise over[0]


def _measure_pauses(stack: contextlib.AsyncExitStack) -> None:
    pauses = CollectionPauses()
    pauses.start()
    stack.callback(pauses.stop)
    metrics.REGISTRY.register(pauses)
    stack.callback(metrics.REGISTRY.unregister, pauses)


def notify(state: str) -> None:
    """Tell the service manager, if there is one (sd_notify's protocol). Never raises."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.sendto(state.encode(), address)
