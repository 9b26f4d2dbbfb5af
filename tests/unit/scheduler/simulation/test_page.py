"""The page about simulations: its example gives what it shows, and its options are those of the command."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tiphys.cmd.config import ConfigError
from tiphys.cmd.main import app
from tiphys.scheduler.what_if import Outcome

PAGE = Path(__file__).parents[4] / "docs" / "simulate.md"
TEXT = PAGE.read_text()


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    path = tmp_path / "cluster.yaml"
    path.write_text(block("yaml"))
    return path


def test_the_example_says_what_is_shown(cluster: Path) -> None:
    asked = ["simulate", "--snapshot", str(cluster), "--drain", "big"]
    answer = CliRunner().invoke(app, asked)
    assert answer.output == block("text")
    assert answer.exit_code == 1
    assert CliRunner().invoke(app, [*asked, "--add-nodes", "1", "--like", "small"]).exit_code == 0


def test_the_fixture_gives_the_outcome_of_the_command(cluster: Path, tiphys_simulate: Callable[..., Outcome]) -> None:
    outcome = tiphys_simulate(cluster, "--drain", "big", "--add-nodes", "1", "--like", "small")
    assert outcome.fits
    assert outcome.changes == ("drain big", "add 1 node like small")
    with pytest.raises(ConfigError, match='node "none" not found'):
        tiphys_simulate(cluster, "--drain", "none")


def test_the_python_runs(cluster: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(block("python"), PAGE.name, "exec"), {"path": cluster})
    assert "add 1 node like small" in capsys.readouterr().out


def test_every_option_is_explained_and_none_is_made_up() -> None:
    command = typer.main.get_command(app).commands["simulate"]  # type: ignore[attr-defined]
    options = {name for parameter in command.params for name in parameter.opts}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", TEXT))
    assert named <= options
    assert {name for name in options if name.startswith("--")} - named <= {"--output", "--profile"}
