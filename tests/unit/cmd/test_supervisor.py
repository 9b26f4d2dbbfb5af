"""The process supervisor, on real processes: restarts, reports, stops; nothing is left."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tiphys.cmd.supervisor import Child, ProcessSupervisor
from tiphys.testing.control_plane import eventually

FOREVER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(3600)"]


async def ask(path: Path) -> dict[str, Any]:
    reader, writer = await asyncio.open_unix_connection(str(path))
    try:
        report: dict[str, Any] = json.loads(await reader.read())
        return report
    finally:
        writer.close()


async def wait_for_pid(path: Path, name: str, *, other_than: int | None = None) -> int:
    async with asyncio.timeout(10):
        while True:
            if path.exists():
                for process in (await ask(path))["processes"]:
                    if process["name"] == name and process["pid"] not in (None, other_than):
                        return int(process["pid"])
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(supervisor: ProcessSupervisor) -> AsyncIterator[None]:
    task = asyncio.create_task(supervisor.run())
    try:
        yield
    finally:
        supervisor.stop()
        await asyncio.wait_for(task, 20)


async def test_a_killed_child_runs_again_and_none_is_left(tmp_path: Path) -> None:
    socket = tmp_path / "s.sock"
    supervisor = ProcessSupervisor([Child("one", FOREVER)], tmp_path / "logs", socket)
    async with running(supervisor):
        first = await wait_for_pid(socket, "one")
        assert socket.stat().st_mode & 0o777 == 0o600
        os.kill(first, signal.SIGKILL)
        second = await wait_for_pid(socket, "one", other_than=first)
        assert (await ask(socket))["processes"][0]["restarts"] == 1
        await eventually(lambda: "up" in (tmp_path / "logs" / "one.log").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(second, 0)
    assert not socket.exists()
    assert (tmp_path / "logs" / "one.log").read_text().startswith("up")


async def test_one_that_ignores_the_signal_is_killed(tmp_path: Path) -> None:
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(3600)"
    )
    child = Child("stubborn", [sys.executable, "-c", stubborn], stop_seconds=0.2)
    supervisor = ProcessSupervisor([child], tmp_path / "logs", tmp_path / "s.sock")
    async with running(supervisor):
        pid = await wait_for_pid(tmp_path / "s.sock", "stubborn")
        await eventually(lambda: "up" in (tmp_path / "logs" / "stubborn.log").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_one_that_cannot_start_yet_is_tried_again(tmp_path: Path) -> None:
    program = tmp_path / "program"
    supervisor = ProcessSupervisor([Child("late", [str(program)])], tmp_path / "logs", tmp_path / "s.sock")
    async with running(supervisor):
        await eventually((tmp_path / "logs" / "late.log").exists)
        partial = tmp_path / "partial"
        partial.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(3600)\n")
        partial.chmod(0o755)
        partial.rename(program)
        await wait_for_pid(tmp_path / "s.sock", "late")


async def test_logs_are_moved_away_while_their_writers_go_on(tmp_path: Path) -> None:
    chatty = "import itertools, time\nfor i in itertools.count(): print('line', i, flush=True); time.sleep(0.001)"
    other = tmp_path / "other.log"
    other.write_text("x" * 3000)
    supervisor = ProcessSupervisor(
        [Child("chatty", [sys.executable, "-c", chatty])],
        tmp_path / "logs",
        tmp_path / "s.sock",
        other_logs=[other],
        max_log_bytes=2000,
        rotate_seconds=0.01,
    )
    log, older = tmp_path / "logs" / "chatty.log", tmp_path / "logs" / "chatty.log.1"
    async with running(supervisor):
        await eventually(older.exists)
        assert older.stat().st_mode & 0o777 == 0o600
        assert older.read_bytes().count(b"\0") == 0, "writers append where the file ends now"
        await eventually(lambda: log.stat().st_size > 0)
        assert log.read_text().startswith("line")
        assert (tmp_path / "other.log.1").read_text() == "x" * 3000
        assert other.read_text() == ""
    assert not list((tmp_path / "logs").glob("*.new"))
