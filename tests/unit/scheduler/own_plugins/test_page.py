"""The page about plugins of one's own: what it shows works as it says."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from tests.unit.scheduler.objects import node, pod
from tiphys.scheduler.configuration import profile_makers, read
from tiphys.scheduler.plugin_guard import guarded
from tiphys.scheduler.plugin_loading import GROUP
from tiphys.scheduler.plugins import REGISTRY
from tiphys.scheduler.snapshot import Snapshot
from tiphys.scheduler.what_if import what_if

PAGE = Path(__file__).parents[4] / "docs" / "scheduler-plugins.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def shown() -> dict[str, Any]:
    """What the snippets define, all in one module."""
    found: dict[str, Any] = {"__name__": "my_plugins"}
    for number, block in enumerate(blocks("python")):
        exec(compile(block, f"{PAGE.name}, python block {number}", "exec"), found)
    return found


def test_the_snippets_own_test_passes(shown: dict[str, Any]) -> None:
    shown["test_quiet_pods_stay_away_from_noise"]()


def test_the_entry_points_name_what_is_shown(shown: dict[str, Any]) -> None:
    (block,) = blocks("toml")
    points = tomllib.loads(block)["project"]["entry-points"][GROUP]
    for name, value in points.items():
        point = EntryPoint(name, value, GROUP)
        assert point.module == "my_plugins"
        assert shown[point.attr].name == name


def test_the_configuration_enables_them_all(shown: dict[str, Any]) -> None:
    known = REGISTRY | {name: guarded(shown[name]) for name in ("QuietNodes", "Generation", "Approval")}
    (block,) = blocks("yaml")
    makers = profile_makers(read(block, known), known)
    old, new = node("old"), node("new")
    old.metadata.labels, new.metadata.labels = {"example.com/generation": "2"}, {"example.com/generation": "4"}
    wants, plain = pod("wants"), pod("plain")
    wants.metadata.annotations = {"example.com/modern": "true"}
    outcome = what_if(Snapshot((old, new, wants, plain), makers))
    assert {placed.node for placed in outcome.placements} == {"new"}
    refused = what_if(Snapshot((old, wants), makers)).pending[0]
    assert refused.plugins == ("Generation",)
    assert "1 node(s) were too old" in refused.reason
