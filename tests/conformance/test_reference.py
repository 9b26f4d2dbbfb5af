"""Ours against what a running upstream answered: every recorded row is a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conformance.replay import REFERENCE, Row, normal, replayed, row_ids

_DIFFERENT = Path(__file__).with_name("known_differences.txt")
_NO_OWNERS = frozenset({"managedFields"})
_NO_GENERATION = frozenset({"managedFields", "generation"})
_DESCRIPTIONS = frozenset({"description"})

# Rows in which upstream differs from itself between two runs, and rows with texts that are not ours to copy.
_ONLY_CODE_AND_REASON = frozenset(
    {
        "errors/pod: generateName too odd",
        "errors/strict nested",
        "errors/pod immutable nodeSelector",
        "errors/pod immutable restartPolicy",
        "errors/rv too large",
        "patches/merge replaces lists/1",
    }
)
# The token volume of the request body is not the stored pod's: upstream, whose pod had it, saw no change of the spec.
_NOT_REPEATABLE = frozenset({"errors/status via main ignored"})


def known_differences() -> frozenset[str]:
    """The rows that are known to fail: one id a line, why after a ``#``."""
    lines = (line.split("#")[0].strip() for line in _DIFFERENT.read_text().splitlines())
    return frozenset(line for line in lines if line)


def differences(row: Row) -> list[str]:
    """How our answer differs from upstream's, empty if it does not."""
    found = []
    if row.code != row.wanted_code:
        found.append(f"code {row.code}, upstream {row.wanted_code}")
    if row.warning != row.wanted_warning:
        found.append(f"warning {row.warning!r}, upstream {row.wanted_warning!r}")
    if row.id in _ONLY_CODE_AND_REASON:
        same = isinstance(row.found, dict) and row.found.get("reason") == row.wanted.get("reason")
    else:
        ours, theirs = _comparable(row)
        same = ours == theirs
        if not same:
            found.append(f"answer {ours}\nupstream {theirs}")
    return found if same or found else ["reason differs"]


def _comparable(row: Row) -> tuple[Any, Any]:
    if row.id.startswith("bootstrap/"):
        theirs = normal(row.wanted, _NO_GENERATION)
        ours = normal(row.found, _NO_GENERATION)
        return {name: obj for name, obj in ours.items() if name in theirs}, theirs
    ignored = _NO_OWNERS if row.id.startswith("defaults/") else frozenset()
    if row.id == "errors/accept table":
        ignored = _DESCRIPTIONS
    if row.id == "errors/root paths":
        return set(row.wanted["paths"]) - _unserved(row.wanted["paths"]), set(row.wanted["paths"]) & set(
            row.found["paths"]
        )
    return normal(row.found, ignored), normal(row.wanted, ignored)


def _unserved(paths: list[str]) -> set[str]:
    """Single checks and profiling: paths no client relies on."""
    parts = ("/healthz/", "/livez/", "/readyz/", "/metrics/", "/debug", "/logs", "/statusz", "/flagz")
    return {path for path in paths if path.startswith(parts) or path in ("/apis/", "/openapi/v3/")}


@pytest.mark.skipif(not REFERENCE.is_dir(), reason="no recordings of upstream here")
@pytest.mark.parametrize("row_id", row_ids())
def test_answers_as_upstream(row_id: str) -> None:
    if row_id in _NOT_REPEATABLE:
        pytest.skip("upstream's answer depends on a random name")
    found = differences(replayed()[row_id])
    if row_id in known_differences():
        assert found, f"{row_id} agrees now: remove it from {_DIFFERENT.name}"
        pytest.xfail("known difference")
    assert not found, "\n".join(found)


def test_known_differences_are_rows() -> None:
    if REFERENCE.is_dir():
        assert known_differences() <= set(row_ids())
