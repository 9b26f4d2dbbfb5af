"""Probes under way: one task each, from its container's start to its end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tiphys.api.types.core_v1 import Probe
from tiphys.base.clock import Clock
from tiphys.kubelet.lifecycle.events import ProbeChanged, ProbeKind


@dataclass(slots=True)
class Verdict:
    """Counts answers until a threshold is reached. `healthy` starts as the kind's benefit of the doubt."""

    probe: Probe
    healthy: bool
    successes: int = 0
    failures: int = 0
    decided: bool = False

    def count(self, success: bool) -> bool:
        """Take one answer in; True when it settles or changes the verdict."""
        if success:
            self.successes, self.failures = self.successes + 1, 0
            reached = self.successes >= (self.probe.success_threshold or 1)
        else:
            self.failures, self.successes = self.failures + 1, 0
            reached = self.failures >= (self.probe.failure_threshold or 3)
        if not reached or (self.decided and self.healthy == success):
            return False
        changed = self.healthy != success or not self.decided
        self.healthy, self.decided = success, True
        return changed


Ask = Callable[[], Awaitable[tuple[bool, str]]]
"""One question: (healthy, what was seen)."""


class ProbeRun:
    """One probe of one container instance.

    `ask` puts the question; `report` hears verdicts; `complain` hears of each failed answer (the Unhealthy event).
    """

    def __init__(
        self,
        name: str,
        container_id: str,
        kind: ProbeKind,
        probe: Probe,
        *,
        ask: Ask,
        report: Callable[[ProbeChanged], None],
        complain: Callable[[str], None],
        clock: Clock,
        started_at: float,
    ) -> None:
        self._name = name
        self._id = container_id
        self._kind = kind
        self._probe = probe
        self._ask = ask
        self._report = report
        self._complain = complain
        self._clock = clock
        self._started_at = started_at
        self._verdict = Verdict(probe, healthy=kind is ProbeKind.LIVENESS)

    async def run(self) -> None:
        """Probe until cancelled (or, for a startup or failed liveness probe, until the verdict)."""
        period_seconds = float(self._probe.period_seconds or 10)
        delay = float(self._probe.initial_delay_seconds or 0) - (self._clock.now() - self._started_at)
        if delay > 0:
            await self._clock.sleep(delay)
        while True:
            success, output = await self._ask()
            if not success:
                self._complain(f"{self._kind.value} probe failed: {output}")
            if self._verdict.count(success):
                self._report(ProbeChanged(self._name, self._id, self._kind, success, output))
                if self._kind is ProbeKind.STARTUP or (self._kind is ProbeKind.LIVENESS and not success):
                    return  # the instance is let go, or no longer asked this
            await self._clock.sleep(period_seconds)
