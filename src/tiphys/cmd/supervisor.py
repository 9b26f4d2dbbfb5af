"""The process that keeps a cluster's processes running on this machine.

It starts each child with its own log, restarts what dies after a growing delay, and stops them in reverse order. A
control socket (0600) answers what runs; SIGTERM ends it. It stays small: everything heavy is imported by the children.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tiphys.base.backoff import Backoff
from tiphys.base.logging import configure, get_logger

_logger = get_logger(__name__)
_STABLE_SECONDS = 60.0
_MAX_LOG_BYTES = 20 * 1024 * 1024
_ROTATE_SECONDS = 60.0


@dataclass
class Child:
    """One supervised process: `command` is run again whenever it ends before the supervisor does."""

    name: str
    command: list[str]
    stop_seconds: float = 15.0
    restarts: int = 0
    started: float = 0.0
    process: asyncio.subprocess.Process | None = None
    environment: dict[str, str] = field(default_factory=dict)


class ProcessSupervisor:
    """Runs `children` (in order) until `stop`; their output goes to ``<log_dir>/<name>.log``."""

    def __init__(
        self,
        children: list[Child],
        log_dir: Path,
        socket_path: Path,
        *,
        other_logs: Sequence[Path] = (),
        max_log_bytes: int = _MAX_LOG_BYTES,
        rotate_seconds: float = _ROTATE_SECONDS,
    ) -> None:
        """`other_logs` are those of programs that children run; like the children's, none grows far beyond
        `max_log_bytes`, and one older one of each is kept."""
        self.children = children
        self._logs = [*(log_dir / f"{child.name}.log" for child in children), log_dir / "supervisor.log", *other_logs]
        self._max_log_bytes = max_log_bytes
        self._rotate_seconds = rotate_seconds
        self._log_dir = log_dir
        self._socket_path = socket_path
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Keep the children running until `stop` is called; then stop them, last started first."""
        self._log_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._socket_path.unlink(missing_ok=True)
        mask = os.umask(0o177)
        try:
            server = await asyncio.start_unix_server(self._answer, path=str(self._socket_path))
        finally:
            os.umask(mask)
        keepers = {child.name: asyncio.create_task(self._keep(child)) for child in self.children}
        rotating = asyncio.create_task(self._rotate())
        try:
            await self._stopping.wait()
        finally:
            rotating.cancel()
            for child in reversed(self.children):
                keeper = keepers[child.name]
                keeper.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await keeper
                await self._end(child)
            server.close()
            self._socket_path.unlink(missing_ok=True)

    def stop(self) -> None:
        """Begin to end; idempotent."""
        self._stopping.set()

    async def _keep(self, child: Child) -> None:
        backoff = Backoff(initial_seconds=0.2, maximum_seconds=10.0)
        while True:
            try:
                await self._start(child)
            except OSError as error:  # no memory, no process, no disk: that may pass
                delay_seconds = backoff.next_seconds()
                reason = f"{type(error).__name__}: {error}"
                _logger.warning(
                    "process does not start", process=child.name, error=reason, again_in_seconds=delay_seconds
                )
                await asyncio.sleep(delay_seconds)
                continue
            assert child.process is not None
            code = await child.process.wait()
            if time.monotonic() - child.started > _STABLE_SECONDS:
                backoff.reset()
            child.restarts += 1
            delay_seconds = backoff.next_seconds()
            _logger.warning("process ended; it starts again", process=child.name, code=code, in_seconds=delay_seconds)
            await asyncio.sleep(delay_seconds)

    async def _start(self, child: Child) -> None:
        log_path = self._log_dir / f"{child.name}.log"
        log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            child.process = await asyncio.create_subprocess_exec(
                *child.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **child.environment},
                start_new_session=True,
            )
        finally:
            os.close(log)
        child.started = time.monotonic()
        _logger.info("process started", process=child.name, pid=child.process.pid)

    async def _rotate(self) -> None:
        """Keep logs bounded while their writers, who append, hold them open: the content moves, the file stays."""
        while True:
            for path in self._logs:
                with contextlib.suppress(OSError):
                    if path.stat().st_size > self._max_log_bytes:
                        await asyncio.to_thread(move_content, path, path.with_name(f"{path.name}.1"))
            await asyncio.sleep(self._rotate_seconds)

    async def _end(self, child: Child) -> None:
        process = child.process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), child.stop_seconds)
        except TimeoutError:
            _logger.warning("process did not stop in time; it is killed", process=child.name)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        report = {
            "pid": os.getpid(),
            "processes": [
                {
                    "name": child.name,
                    "pid": child.process.pid if child.process and child.process.returncode is None else None,
                    "restarts": child.restarts,
                    "uptime_seconds": time.monotonic() - child.started,
                }
                for child in self.children
            ],
        }
        writer.write(json.dumps(report).encode())
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()


def move_content(path: Path, older: Path) -> None:
    """Replace `older` by what `path` holds, which is empty then. Lines that come in between the two are lost."""
    fresh = older.with_name(f"{older.name}.new")
    with path.open("rb") as source, fresh.open("wb") as target:
        fresh.chmod(0o600)
        shutil.copyfileobj(source, target)
        while rest := source.read():  # what came while it was copied
            target.write(rest)
        os.truncate(path, 0)
    fresh.replace(older)


async def _main(plan: dict[str, Any]) -> None:
    children = [Child(**child) for child in plan["children"]]
    supervisor = ProcessSupervisor(
        children,
        Path(plan["log_dir"]),
        Path(plan["socket_path"]),
        other_logs=[Path(path) for path in plan.get("other_logs", ())],
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.stop)
    await supervisor.run()


def main() -> None:
    """``python -m tiphys.cmd.supervisor PLAN.json``: the plan names log_dir, socket_path, children and other_logs."""
    configure()
    asyncio.run(_main(json.loads(Path(sys.argv[1]).read_bytes())))


if __name__ == "__main__":
    main()
