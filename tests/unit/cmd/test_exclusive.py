"""The lock of a data directory: one command at a time, nothing left behind."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tiphys.cmd.config import CLUSTER_FILE, ConfigError
from tiphys.cmd.exclusive import LOCK_FILE, exclusive


def test_one_at_a_time_even_when_the_first_removes_the_directory(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    inside, order = threading.Event(), []

    def second() -> None:
        inside.wait()
        with exclusive(data_dir):
            order.append("second")
            assert (data_dir / LOCK_FILE).exists()

    thread = threading.Thread(target=second)
    thread.start()
    with exclusive(data_dir):
        inside.set()
        thread.join(0.05)
        order.append("first")
        (data_dir / LOCK_FILE).unlink()
        data_dir.rmdir()
    thread.join(10)
    assert order == ["first", "second"]
    assert not data_dir.exists()


def test_a_cluster_keeps_its_directory(tmp_path: Path) -> None:
    with exclusive(tmp_path / "data"):
        (tmp_path / "data" / CLUSTER_FILE).touch()
    assert (tmp_path / "data" / LOCK_FILE).exists()


def test_a_file_is_no_data_directory(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(ConfigError, match="cannot be used as data directory"), exclusive(tmp_path / "data"):
        pass
