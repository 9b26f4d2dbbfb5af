"""The recordings of a running upstream, if they are beside the repository."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[4] / "shared" / "reference"
VOLATILE = "*"


@cache
def recorded(name: str) -> Any:
    """The rows of one file; none without the recordings."""
    path = FOLDER / name
    return json.loads(path.read_text()) if path.exists() else []


needs_recordings = pytest.mark.skipif(not FOLDER.exists(), reason="the reference recordings are not beside this clone")


def same(expected: Any, actual: Any) -> bool:
    """Equality but for values that differ from run to run, recorded as ``*``."""
    if isinstance(expected, str) and VOLATILE in expected and expected != actual:
        head, _, tail = expected.partition(VOLATILE)
        return isinstance(actual, str) and actual.startswith(head) and actual.endswith(tail)
    if isinstance(expected, dict) and isinstance(actual, dict):
        return expected.keys() == actual.keys() and all(same(expected[k], actual[k]) for k in expected)
    if isinstance(expected, list) and isinstance(actual, list):
        return len(expected) == len(actual) and all(same(e, a) for e, a in zip(expected, actual, strict=True))
    return bool(expected == actual)
