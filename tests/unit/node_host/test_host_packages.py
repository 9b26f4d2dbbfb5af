"""Missing programs found and installed, with apt pretended."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiphys.cmd import host_packages
from tiphys.cmd.host_packages import HostPackagesError, Program, install, missing


@pytest.fixture
def apt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """The commands given to apt, by root on Debian; each goes well."""
    commands: list[list[str]] = []
    monkeypatch.setattr(host_packages, "_apt", lambda command: commands.append(command) or "")
    monkeypatch.setattr(host_packages.os, "geteuid", lambda: 0)
    monkeypatch.setattr(host_packages, "POLICY_RC_D", tmp_path / "policy-rc.d")
    return commands


def test_a_program_from_anywhere_is_present(tmp_path: Path) -> None:
    (tmp_path / "own-build").touch()
    programs = (Program(str(tmp_path / "own-build"), "a"), Program("/no/such", "c"), Program("no-such-program", "b"))
    assert missing(programs) == ("b", "c")


def test_nothing_missing_calls_nothing(apt: list[list[str]]) -> None:
    install(())
    assert apt == []


def test_packages_are_installed_without_questions_removals_or_services(
    apt: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    policies: list[str] = []
    monkeypatch.setattr(
        host_packages,
        "_apt",
        lambda command: policies.append(host_packages.POLICY_RC_D.read_text()) or apt.append(command),
    )
    install(("mount",))
    [command] = apt
    assert command[:3] == ["apt-get", "install", "-y"]
    assert "--no-remove" in command
    assert policies == ["#!/bin/sh\nexit 101\n"]
    assert not host_packages.POLICY_RC_D.exists()


def test_an_administrators_policy_is_kept(apt: list[list[str]]) -> None:
    host_packages.POLICY_RC_D.write_text("mine")
    install(("mount",))
    assert host_packages.POLICY_RC_D.read_text() == "mine"


def test_stale_package_lists_are_refreshed_once(apt: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["E: Unable to locate package mount", "", ""])
    monkeypatch.setattr(host_packages, "_apt", lambda command: apt.append(command) or next(answers))
    install(("mount",))
    assert [command[1] for command in apt] == ["install", "update", "install"]


def test_no_network_is_said_in_apts_words(apt: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_packages, "_apt", lambda _: "E: Failed to fetch http://deb.debian.org/")
    with pytest.raises(HostPackagesError, match="could not install mount: E: Failed to fetch"):
        install(("mount",))


def test_without_root_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_packages.os, "geteuid", lambda: 1000)
    with pytest.raises(HostPackagesError, match="sudo apt-get install containerd runc"):
        install(("containerd", "runc"))
