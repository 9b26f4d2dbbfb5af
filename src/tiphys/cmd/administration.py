"""A command's way to a cluster: the admin's kubeconfig of a data directory, or one the user names."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import msgspec

from tiphys.api.errors import ApiError
from tiphys.client import kubeconfig
from tiphys.client.client import Client
from tiphys.client.config import ClientConfig
from tiphys.cmd import config as cluster_config
from tiphys.cmd import settings
from tiphys.cmd.config import ConfigError

T = TypeVar("T")
_LOOPBACK = ("://127.", "://localhost", "://[::1]")


class Administration:
    """``with Administration(data_dir, kubeconfig) as cluster: cluster.run(lambda client: …)``.

    What the API refuses becomes a ConfigError of one line when the block is left by it.
    """

    def __init__(self, data_dir: Path, kubeconfig_path: Path | None) -> None:
        path = kubeconfig_path or cluster_config.load(data_dir.resolve()).admin_kubeconfig
        try:
            self.config: ClientConfig = kubeconfig.load(path)
        except (OSError, kubeconfig.KubeconfigError) as error:
            raise ConfigError(f"no kubeconfig to work with: {error}") from None

    @property
    def ca(self) -> bytes:
        """The authority, PEM."""
        if not self.config.ca_data:
            raise ConfigError("the kubeconfig names no certificate authority")
        return self.config.ca_data

    def run(self, work: Callable[[Client], Awaitable[T]]) -> T:
        """Do `work` with a client of the cluster."""
        return asyncio.run(self._with_client(work))

    def public_server(self) -> str:
        """Where other machines reach the apiserver: a kubeconfig of the control plane itself may say 127.0.0.1."""
        if not any(mark in self.config.server for mark in _LOOPBACK):
            return self.config.server
        try:
            return self.run(settings.read).server_urls[0]
        except (ApiError, msgspec.DecodeError, IndexError):
            return self.config.server

    async def _with_client(self, work: Callable[[Client], Awaitable[T]]) -> T:
        client = Client.from_config(self.config)
        try:
            return await work(client)
        finally:
            await client.close()

    def __enter__(self) -> Administration:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, ApiError):
            raise ConfigError(f"the apiserver refuses: {error.message}") from None
        if isinstance(error, OSError):
            raise ConfigError(f"{self.config.server} does not answer: {error or type(error).__name__}") from None


def users_own(data_dir: Path) -> Path | None:
    """The user's kubeconfig as kubectl finds it; None if there is none, or the data directory has one of its own."""
    if data_dir != cluster_config.DEFAULT_DATA_DIR:
        return None
    named = os.environ.get("KUBECONFIG", "").split(os.pathsep)[0]
    candidate = Path(named) if named else Path.home() / ".kube" / "config"
    return candidate if candidate.is_file() else None


def columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table as kubectl prints it: padded, never cut, whatever the terminal's width."""
    widths = [max(len(line[index]) for line in (head, *rows)) for index in range(len(head))]
    padded = ("   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in (head, *rows))
    return "\n".join(line.rstrip() for line in padded)
