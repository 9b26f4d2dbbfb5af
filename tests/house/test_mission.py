"""The mission's page is true: every test and every command that it names exists."""

from __future__ import annotations

import itertools
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tiphys.cmd.main import app

ROOT = Path(__file__).resolve().parents[2]
ROWS = [line for line in (ROOT / "docs" / "mission.md").read_text().splitlines() if line.startswith("| ")][1:]


def commands() -> list[str]:
    return [span for row in ROWS for span in re.findall(r"`([^`]+)`", row.split(" | ")[2])]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[2:40])
def test_every_promise_has_a_command_and_a_proof(row: str) -> None:
    _, how, see, proof = row.strip("| ").split(" | ")
    assert how and re.fullmatch(r"`[^`]+`", see)
    for path in re.findall(r"`([^`]+)`", proof):
        assert re.search(r"^(async )?def test_", (ROOT / path).read_text(), re.MULTILINE), f"no test in {path}"


@pytest.mark.parametrize("command", [one for one in commands() if one.startswith("tiphys ")])
def test_every_command_of_ours_parses(command: str) -> None:
    words = shlex.split(command)[1:]
    path = [word for word in itertools.takewhile(lambda word: re.fullmatch(r"[a-z-]+", word), words) if word[0] != "-"]
    # What follows the command may be a name of the user's.
    shown = next(
        answer
        for count in range(len(path), 0, -1)
        if (answer := CliRunner().invoke(app, [*path[:count], "--help"], env={"COLUMNS": "200"})).exit_code == 0
    )
    assert "Commands:" not in shown.output, "a command is missing"
    assert [word for word in words if word.startswith("--") and word not in shown.output] == []


def test_make_has_the_targets_named() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for command in commands():
        if command.startswith("make "):
            assert f"\n{command.split()[1]}:" in makefile
