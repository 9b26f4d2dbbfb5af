"""Kernel settings made and given back, on a folder that stands for /proc/sys."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiphys.network import sysctl


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, value in ((sysctl.FORWARD, "0"), (sysctl.BRIDGE_FILTER, "1"), (sysctl.REDIRECTS, "1")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(value + "\n")
    return tmp_path


def values(root: Path) -> dict[str, str]:
    return {name: (root / name).read_text().strip() for name in sysctl.WANTED}


def test_what_was_is_restored(root: Path) -> None:
    before, record = values(root), root / "state" / "record"
    sysctl.ensure(record, root)
    assert values(root) == dict(sysctl.WANTED)
    sysctl.ensure(record, root)  # again: the record must not take our values for the host's
    sysctl.restore(record, root)
    assert values(root) == before
    assert not record.exists()
    sysctl.restore(record, root)


def test_what_was_right_already_is_not_recorded(root: Path) -> None:
    for name, value in sysctl.WANTED.items():
        (root / name).write_text(value)
    sysctl.ensure(root / "record", root)
    assert not (root / "record").exists()


def test_a_missing_setting_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysctl.subprocess, "run", lambda *_, **__: None)
    (root / sysctl.BRIDGE_FILTER).unlink()
    (root / sysctl.BRIDGE_FILTER).parent.rmdir()
    with pytest.raises(sysctl.SysctlError, match=r"bridge-nf-call-iptables = 1.*br_netfilter"):
        sysctl.ensure(root / "record", root)
