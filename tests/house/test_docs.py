"""The docs are true: what they name exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_paths_named_in_code_spans_exist(page: Path) -> None:
    for span in re.findall(r"`((?:src|tests|scripts|bench|docs)/[\w./-]+)`", page.read_text()):
        assert (ROOT / span).exists(), f"{page.name} names {span}, which is not there"


def test_the_readme_names_every_make_target_a_user_needs() -> None:
    text = (ROOT / "README.md").read_text()
    for target in ("make up", "make test", "make down", "make bench"):
        assert target in text


def test_the_architecture_page_has_every_room() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    for room in sorted(p.name for p in (ROOT / "src" / "tiphys").iterdir() if p.is_dir() and "__" not in p.name):
        assert f"`{room}/`" in text, f"docs/architecture.md does not describe {room}/"
