"""The house rules, as ordinary tests: layers are import-linter's, these are taste."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "tiphys"
GENERATED = SOURCE / "api" / "types"
MAX_LINES = 400
MAX_FUNCTION_LINES = 90
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "misc"}


def modules() -> list[Path]:
    return [path for path in sorted(SOURCE.rglob("*.py")) if GENERATED not in path.parents]


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_there_is_something_to_check() -> None:
    assert len(modules()) > 50


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_a_module_says_what_it_is_and_stays_small(path: Path) -> None:
    text = path.read_text()
    assert ast.get_docstring(ast.parse(text)), f"{relative(path)} has no docstring"
    assert text.count("\n") <= MAX_LINES, f"{relative(path)} has over {MAX_LINES} lines: it wants a wall"


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_functions_fit_on_a_screen(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= MAX_FUNCTION_LINES, f"{relative(path)}:{node.lineno} {node.name} has {length} lines"


def test_no_drawer_for_odds_and_ends() -> None:
    names = {part for path in modules() for part in path.relative_to(SOURCE).with_suffix("").parts}
    assert not names & FORBIDDEN_NAMES


def test_chance_is_the_programs_own() -> None:
    """The module's generator is of the process we run in; see `tiphys.base.chance`."""
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "random":
                taken = {alias.name for alias in node.names}
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "random":
                taken = {node.attr}
            else:
                continue
            assert taken <= {"Random", "SystemRandom"}, f"{relative(path)}:{node.lineno} draws from the module"


def test_rooms_say_what_may_enter() -> None:
    for room in sorted(p for p in SOURCE.iterdir() if p.is_dir() and not p.name.startswith("__")):
        text = ast.get_docstring(ast.parse((room / "__init__.py").read_text())) or ""
        assert "may enter" in text, f"{relative(room)}/__init__.py does not say what may enter"


def test_nothing_is_left_for_later() -> None:
    # Built from parts so that this file does not find itself.
    marks = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"]) + r")\b")
    for folder in ("src", "tests", "bench", "scripts"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            found = marks.search(path.read_text())
            assert not found, f"{relative(path)} has a {found.group(0) if found else ''}"
