"""A cluster's own containerd: started, adopted, supervised, stopped, and removed without a trace.

It runs in a session of its own and outlives the process that started it: whoever starts next adopts it. Pods outlive
containerd in turn, because each has a shim; containerd finds them again when it restarts.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tiphys.cmd.containerd_config import (
    CAP_SYS_RESOURCE,
    CNI_BIN_DIR,
    ContainerdPaths,
    lacks_capability,
    probe_snapshotter,
    render,
)
from tiphys.cmd.containerd_remains import remove_remains
from tiphys.cri.client import CriRuntime
from tiphys.cri.errors import CriCode, CriError

READY_TIMEOUT_SECONDS = 30.0
READY_PROBE_SECONDS = 0.02
STOP_TIMEOUT_SECONDS = 10.0
RESTART_MINIMUM_SECONDS = 0.1
RESTART_MAXIMUM_SECONDS = 10.0
STABLE_AFTER_SECONDS = 30.0
PODS_STOPPED_AT_ONCE = 8

# Its heap is a few megabytes: collected at half again their size and not at twice, an idle node has 3 MB more.
_ENVIRONMENT = {"GOGC": "50"}


class ContainerdError(Exception):
    """containerd cannot be run; the text is for the user and names its log."""


class Containerd:
    """The containerd instance of one data directory.

    ``start`` returns once CRI answers. ``supervise`` keeps it up until cancelled (and leaves it up then).
    ``stop`` ends the daemon and leaves pods alone; ``destroy`` ends pods too and removes what they left on the host.
    ``inside`` is the start of a command line that runs the rest elsewhere: on one of the machine's hosts.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        sandbox_image: str,
        snapshotter: str = "",
        cni_bin_dir: Path = CNI_BIN_DIR,
        inside: Sequence[str] = (),
    ) -> None:
        self.paths = ContainerdPaths(data_dir.resolve())
        self._sandbox_image = sandbox_image
        self._snapshotter = snapshotter
        self._cni_bin_dir = cni_bin_dir
        self._inside = inside

    @property
    def socket(self) -> Path:
        return self.paths.socket

    def pid(self) -> int | None:
        """The running daemon's, None when there is none. A recycled process id is not taken for it."""
        try:
            pid, started = self.paths.pid_file.read_text().split()
            _reap(int(pid))
            return int(pid) if _start_time(int(pid)) == started else None
        except (OSError, ValueError):
            return None

    def prepare(self) -> None:
        """Make the folders and config.toml."""
        self.paths.check()
        for folder in (self.paths.home, self.paths.cni_conf_dir, self.paths.registry_dir):
            folder.mkdir(parents=True, exist_ok=True)
        self.paths.home.chmod(0o711)
        known = self.paths.home / "snapshotter"
        if not self._snapshotter:
            # Images unpacked by one snapshotter are no use to another: what was found first stays.
            self._snapshotter = known.read_text() if known.is_file() else probe_snapshotter(self.paths.home)
        known.write_text(self._snapshotter)
        text = render(
            self.paths,
            sandbox_image=self._sandbox_image,
            snapshotter=self._snapshotter,
            restrict_oom_score_adj=lacks_capability(CAP_SYS_RESOURCE),
            cni_bin_dir=self._cni_bin_dir,
        )
        self.paths.config.write_text(text)

    async def start(self, timeout_seconds: float = READY_TIMEOUT_SECONDS) -> None:
        """Start it, or adopt the one that runs; returns when CRI answers. Raises ContainerdError."""
        if self.pid() is not None:
            try:
                await self._wait_ready(timeout_seconds)
                return
            except ContainerdError:
                if self.pid() is not None:
                    raise  # alive but mute: another beside it would only wait for its locks
        await asyncio.to_thread(self.prepare)
        self._spawn()
        await self._wait_ready(timeout_seconds)

    def _spawn(self) -> None:
        program = shutil.which("containerd")
        if program is None:
            raise ContainerdError("containerd is not installed")
        self.paths.socket.unlink(missing_ok=True)
        with self.paths.log.open("ab") as log:
            process = subprocess.Popen(
                [*self._inside, program, "--config", str(self.paths.config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
                env={**_ENVIRONMENT, **os.environ},
            )
        self.paths.pid_file.write_text(f"{process.pid} {_start_time(process.pid)}")
        # Popen warns when it is collected while its child lives; this child is meant to outlive us.
        process.returncode = 0

    async def _wait_ready(self, timeout_seconds: float) -> None:
        deadline = time.monotonic() + timeout_seconds
        while True:
            if self.pid() is None:
                raise ContainerdError(f"containerd ended while starting: {self._last_words()}")
            if self.paths.socket.is_socket():
                runtime = CriRuntime(self.paths.socket)
                try:
                    await runtime.version()
                    return
                except CriError as error:
                    if error.code is CriCode.UNIMPLEMENTED:
                        raise ContainerdError(f"containerd runs without its CRI plugin: see {self.paths.log}") from None
                    reason = str(error)
                finally:
                    await runtime.close()
            else:
                reason = "no socket yet"
            if time.monotonic() > deadline:
                raise ContainerdError(f"containerd is not ready after {timeout_seconds:g} s ({reason})")
            await asyncio.sleep(READY_PROBE_SECONDS)

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            lines = self.paths.log.read_text(errors="replace").strip().splitlines()
            return f"{lines[-1] if lines else 'it said nothing'} (see {self.paths.log})"
        return f"see {self.paths.log}"

    async def supervise(self) -> None:
        """Restart the daemon whenever it ends, with a growing delay while it keeps ending. Runs until cancelled."""
        delay = RESTART_MINIMUM_SECONDS
        while True:
            started = time.monotonic()
            pid = self.pid()
            if pid is not None:
                await _ended(pid)
                if time.monotonic() - started > STABLE_AFTER_SECONDS:
                    delay = RESTART_MINIMUM_SECONDS
            await asyncio.sleep(delay)
            delay = min(delay * 2, RESTART_MAXIMUM_SECONDS)
            with contextlib.suppress(ContainerdError):
                await self.start()

    async def stop(self) -> None:
        """End the daemon, gently, then by force. Pods go on."""
        pid = self.pid()
        if pid is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_TIMEOUT_SECONDS):
                    await _ended(pid)
                    break
        self.paths.pid_file.unlink(missing_ok=True)

    async def remove_pods(self) -> None:
        """Stop and remove every sandbox, with its network. What fails is left to ``destroy``."""
        runtime = CriRuntime(self.paths.socket)
        limit = asyncio.Semaphore(PODS_STOPPED_AT_ONCE)

        async def remove(sandbox_id: str) -> None:
            async with limit:
                with contextlib.suppress(CriError):
                    await runtime.stop_sandbox(sandbox_id)
                    await runtime.remove_sandbox(sandbox_id)

        try:
            with contextlib.suppress(CriError):
                sandboxes = await runtime.list_sandboxes()
                await asyncio.gather(*(remove(sandbox.id) for sandbox in sandboxes))
        finally:
            await runtime.close()

    async def destroy(self) -> None:
        """End pods and daemon and take back all they made outside the data directory. Idempotent."""
        if self.paths.config.exists():
            with contextlib.suppress(ContainerdError):
                await self.start()
                await self.remove_pods()
        await self.stop()
        await asyncio.to_thread(remove_remains, self.paths)


async def _ended(pid: int) -> None:
    """Wait, without polling, until a process has ended, whoever its parent is; reap it if it is our child."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    loop.add_reader(descriptor, lambda: None if ended.done() else ended.set_result(None))
    try:
        await ended
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    _reap(pid)


def _start_time(pid: int) -> str:
    """When a process started, in the kernel's ticks: with its id it names one process for good."""
    # The second field is the program's name in parentheses, which may itself hold spaces and parentheses.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
