"""An apiserver made from flags: its store, its credentials, and what is wrong with them in one line."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvloop

from tiphys.apiserver.authentication import static_tokens
from tiphys.apiserver.authentication.front_proxy import FrontProxies
from tiphys.apiserver.config import ApiServerConfig
from tiphys.apiserver.server import ApiServer
from tiphys.base.logging import configure
from tiphys.cmd.apiserver_commands import DEFAULT_PREFIX, File
from tiphys.cmd.config import ConfigError
from tiphys.cmd.foreground import Work, run_until_signal
from tiphys.cmd.standalone import file_of
from tiphys.store.backend import Backend

__all__ = [
    "Store",
    "check_fixed",
    "check_front_proxies",
    "file_of",
    "files_of",
    "port_range",
    "run",
    "serving",
    "tokens_of",
]

# What is always so here: flags that say so are taken, others are not.
_FIXED = {
    "--authorization-mode": ("Node,RBAC",),
    "--requestheader-username-headers": ("X-Remote-User",),
    "--requestheader-group-headers": ("X-Remote-Group",),
    "--requestheader-extra-headers-prefix": ("X-Remote-Extra-",),
    "--requestheader-uid-headers": ("X-Remote-Uid",),
}


@dataclass(frozen=True, slots=True)
class Store:
    """Where the state is: an etcd, or a SQLite file."""

    etcd_servers: tuple[str, ...] = ()
    etcd_ca: File = None
    etcd_certificate: File = None
    etcd_key: File = None
    etcd_prefix: str = DEFAULT_PREFIX
    sqlite_file: File = None

    def open(self) -> Backend:
        """Raises ConfigError unless it is one of the two."""
        if bool(self.etcd_servers) == bool(self.sqlite_file):
            raise ConfigError("give --etcd-servers or --sqlite-file: one of the two")
        if self.sqlite_file is not None:
            from tiphys.store.sqlite import SqliteBackend

            self.sqlite_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            return SqliteBackend(self.sqlite_file)
        from tiphys.store.etcd import EtcdBackend
        from tiphys.store.etcd_client import EtcdTls

        tls = None
        if self.etcd_ca is not None:
            certificate = file_of("--etcd-certfile", self.etcd_certificate)
            key = file_of("--etcd-keyfile", self.etcd_key)
            tls = EtcdTls(file_of("--etcd-cafile", self.etcd_ca), certificate, key)
        prefix = "" if self.etcd_prefix == DEFAULT_PREFIX else self.etcd_prefix
        return EtcdBackend(self.etcd_servers, tls=tls, prefix=prefix)


@contextlib.asynccontextmanager
async def serving(config: ApiServerConfig, store: Store) -> AsyncIterator[Work]:
    """A started server, closed with its store at the end."""
    server = ApiServer(config, store.open())

    async def until_cancelled() -> None:
        await asyncio.Event().wait()

    await server.start()
    try:
        yield until_cancelled
    finally:
        await server.close()


def port_range(text: str) -> tuple[int, int]:
    """``30000-32767``. Raises ConfigError."""
    first, _, last = text.partition("-")
    if not (first.isdigit() and last.isdigit() and 1 <= int(first) <= int(last) <= 65535):
        raise ConfigError(f"--service-node-port-range {text} is not a range of ports such as 30000-32767")
    return int(first), int(last)


def check_fixed(*values: str) -> None:
    """The values of the flags in `_FIXED`, in its order. Raises ConfigError for one that is not what is always so."""
    for (flag, allowed), value in zip(_FIXED.items(), values, strict=True):
        if value and value not in allowed:
            raise ConfigError(f"{flag}={value} is not supported: it is always {allowed[0]}")


def check_front_proxies(config: ApiServerConfig) -> None:
    """Raises ConfigError for settings by which users would be front proxies, or authorities that are no PEM."""
    try:
        FrontProxies(config.requestheader_client_ca, config.client_ca, config.requestheader_allowed_names)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def files_of(flag: str, paths: Sequence[Path]) -> tuple[bytes, ...]:
    """The contents of all files given to `flag`. Raises ConfigError."""
    return tuple(file_of(flag, path) for path in paths)


def tokens_of(path: File) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Users and groups by token. Raises ConfigError."""
    if path is None:
        return {}
    try:
        return {token: (user.name, user.groups) for token, user in static_tokens.load(path).items()}
    except (OSError, ValueError) as error:
        raise ConfigError(f"--token-auth-file: {error}") from None


def run(config: ApiServerConfig, store: Store) -> None:
    """Serve in the foreground until a signal. Raises ConfigError."""
    check_front_proxies(config)
    configure(level=os.environ.get("TIPHYS_LOG_LEVEL", "INFO"))
    uvloop.run(run_until_signal([("apiserver", serving(config, store))]))
