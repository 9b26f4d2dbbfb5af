"""Renewal: certificates near their end are made anew, and processes that hold old ones end."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tiphys.cmd import prepare as preparing
from tiphys.cmd import renewal
from tiphys.cmd.certificates import LEAF_VALIDITY, RENEW_BEFORE
from tiphys.cmd.config import ClusterConfig
from tiphys.cmd.foreground import ProcessOver
from tiphys.cmd.renewal import CHECK_SECONDS, Renewal
from tiphys.testing.clock import FakeClock
from tiphys.testing.control_plane import eventually


@pytest.fixture
def config(tmp_path: Path) -> ClusterConfig:
    made = ClusterConfig(data_dir=str(tmp_path / "data"), node_name="n", node_ip="192.0.2.7")
    preparing.prepare(made)
    return made


def later(monkeypatch: pytest.MonkeyPatch, passed: timedelta) -> None:
    """Let credentials be made as if so much time had passed."""

    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime.now(UTC) + passed

    monkeypatch.setattr(preparing, "datetime", Later)


async def checked(clock: FakeClock, running: asyncio.Task[None]) -> None:
    """One check has been made."""
    await eventually(lambda: clock.sleepers() > 0 or running.done())
    await clock.advance(CHECK_SECONDS)
    await eventually(lambda: clock.sleepers() > 0 or running.done())


async def test_good_certificates_are_left_alone(config: ClusterConfig) -> None:
    clock = FakeClock()
    running = asyncio.create_task(Renewal(config, renews=True, clock=clock, draw=lambda: 0.0).run())
    await checked(clock, running)
    assert not running.done()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_who_holds_the_authority_renews_and_everyone_takes_over(
    config: ClusterConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    other = Renewal(config, renews=False, clock=clock, draw=lambda: 0.0)
    running = asyncio.create_task(Renewal(config, renews=True, clock=clock, draw=lambda: 0.0).run())
    later(monkeypatch, LEAF_VALIDITY - RENEW_BEFORE + timedelta(days=1))
    before = (config.pki_dir / "apiserver.crt").read_bytes()
    await checked(clock, running)
    with pytest.raises(ProcessOver, match="credentials were renewed"):
        await running
    assert (config.pki_dir / "apiserver.crt").read_bytes() != before
    waiting = asyncio.create_task(other.run())
    await checked(clock, waiting)
    with pytest.raises(ProcessOver):
        await waiting


async def test_a_disk_that_fails_ends_nothing(config: ClusterConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: ClusterConfig) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(renewal, "prepare", full)
    clock = FakeClock()
    running = asyncio.create_task(Renewal(config, renews=True, clock=clock, draw=lambda: 1.0).run())
    await checked(clock, running)
    assert not running.done()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
