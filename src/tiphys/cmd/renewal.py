"""Certificates of a control plane that runs for long: made anew well before their end, and taken over.

The process that holds the authority (the apiserver's) looks at all of its host's now and then, as every start does.
Every process whose credentials changed ends itself, and its supervisor starts it again with the new ones; hosts do so
at moments of their own. Nodes that joined renew theirs by signing requests instead (`node_certificates`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from tiphys.base.chance import CHANCE
from tiphys.base.clock import Clock, SystemClock
from tiphys.base.logging import get_logger
from tiphys.cmd.certificates import PkiError
from tiphys.cmd.config import ClusterConfig
from tiphys.cmd.foreground import ProcessOver
from tiphys.cmd.prepare import prepare

CHECK_SECONDS: Final = 6 * 3600.0
_SPREAD: Final = 0.5
_logger = get_logger(__name__)


class Renewal:
    """``run()`` until cancelled, or until it raises ProcessOver because of new credentials.

    `renews` says whether this process makes them; the others of the host notice them.
    """

    def __init__(
        self,
        config: ClusterConfig,
        *,
        renews: bool,
        clock: Clock | None = None,
        draw: Callable[[], float] = CHANCE.random,
    ) -> None:
        self._config = config
        self._renews = renews
        self._clock = clock or SystemClock()
        self._draw = draw
        self._known = self._files()

    async def run(self) -> None:
        while True:
            await self._clock.sleep(CHECK_SECONDS * (1 - _SPREAD * self._draw()))
            if self._renews:
                try:
                    await asyncio.to_thread(prepare, self._config)
                except (PkiError, OSError) as error:
                    _logger.warning("certificates not renewed", error=str(error))
            if self._files() != self._known:
                raise ProcessOver("its credentials were renewed")

    def _files(self) -> dict[str, int]:
        """Certificates and kubeconfigs of this host, each with when it was written."""
        paths = [*self._config.pki_dir.rglob("*.crt"), *self._config.kubeconfig("admin").parent.glob("*.kubeconfig")]
        found = {}
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                found[str(path)] = path.stat().st_mtime_ns
        return found


@contextlib.asynccontextmanager
async def renewing(config: ClusterConfig, *, renews: bool) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """A process's `Renewal`; it comes after the parts that make credentials when they start."""
    yield Renewal(config, renews=renews).run
