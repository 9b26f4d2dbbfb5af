"""A scheduler's configuration file on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tiphys.cmd.config import ConfigError
from tiphys.cmd.main import app
from tiphys.cmd.scheduler import settings, text_of, written_out
from tiphys.cmd.simulate import profiles_of

_HEAD = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n"


def test_what_the_file_says_of_elections_and_connections() -> None:
    said = settings(
        _HEAD + "leaderElection: {leaderElect: false, resourceName: mine, leaseDuration: 1m}\n"
        "clientConnection: {kubeconfig: /k}\npodMaxBackoffSeconds: 3\n",
        host="h",
    )
    assert said.election.leader_elect is False
    assert said.election_fields() == {
        "name": "mine",
        "namespace": "kube-system",
        "lease_duration_seconds": 60.0,
        "renew_deadline_seconds": 10.0,
        "retry_period_seconds": 2.0,
    }
    assert (said.connection.kubeconfig, said.scheduler.maximum_backoff_seconds, said.scheduler.host) == ("/k", 3.0, "h")


def test_without_a_file_all_is_upstreams_default() -> None:
    said = settings("", host="h")
    assert said.election_fields()["name"] == "kube-scheduler"
    assert len(said.scheduler.profiles) == 1


def test_a_file_that_cannot_be_used_is_refused_by_the_flags_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--scheduler-config: .*No such file"):
        text_of("--scheduler-config", tmp_path / "missing")
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(_HEAD + "parallelism: -1\n")
    with pytest.raises(ConfigError, match="--config: parallelism: Invalid value: -1"):
        text_of("--config", wrong)
    wrong.write_text("\n")
    with pytest.raises(ConfigError, match="--config: the file holds no KubeSchedulerConfiguration"):
        text_of("--config", wrong)
    assert text_of("--config", None) == ""


def test_what_has_no_effect_is_told() -> None:
    said = settings(_HEAD + "percentageOfNodesToScore: 30\n", host="h")
    assert said.notices == ("percentageOfNodesToScore: has no effect: every node is filtered and scored",)
    assert settings("", host="h").notices == ()


def test_a_configuration_is_written_with_its_defaults_instead_of_run(tmp_path: Path) -> None:
    given, made = tmp_path / "given.yaml", tmp_path / "made.yaml"
    given.write_text(_HEAD + "podMaxBackoffSeconds: 3\n")
    outcome = CliRunner().invoke(app, ["scheduler", "--config", str(given), "--write-config-to", str(made)])
    assert outcome.exit_code == 0, outcome.output
    assert "podMaxBackoffSeconds: 3" in made.read_text()
    assert "hardPodAffinityWeight: 1" in made.read_text()
    assert written_out(made.read_text()) == made.read_text()
    assert "podMaxBackoffSeconds: 10" in written_out("")


def test_files_that_extenders_are_reached_with_are_looked_at_before_anything_starts() -> None:
    extender = "extenders: [{urlPrefix: 'https://x', filterVerb: f, tlsConfig: {caFile: /nowhere/ca.pem}}]\n"
    with pytest.raises(ConfigError, match=r"--config: extenders\[0\]\.tlsConfig: .*No such file.*/nowhere/ca\.pem"):
        settings(_HEAD + extender, host="")


def test_who_only_asks_what_would_be_is_told_that_extenders_are_not_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(_HEAD + "extenders: [{urlPrefix: 'http://x', filterVerb: f}]\n")
    assert len(profiles_of(file)) == 1
    assert "extenders: they are not asked here" in capsys.readouterr().err
