"""What expressions are estimated at, and paths of fields."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.api import cel
from tiphys.api.cel.paths import normalize

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "n": {"type": "integer"},
        "s": {"type": "string", "maxLength": 10},
        "long": {"type": "string"},
        "xs": {"type": "array", "maxItems": 5, "items": {"type": "integer"}},
        "all": {"type": "array", "items": {"type": "integer"}},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "a/b": {"type": "string"},
    },
}
COSTS: dict[str, int] = {
    "true": 0,
    "self.n == 1": 2,
    "self.n > 1": 3,
    "has(self.n)": 1,
    "self.n > 1 && self.n < 5": 6,
    # A tenth of 40 bytes, for ten characters.
    "self.s == self.s": 4 + 4,
    "self.s.startsWith('abc')": 2 + 1,
    # (40 + 1) / 10, rounded up, times 6 / 4, rounded up.
    "self.s.matches('^[a-z]')": 2 + 5 * 2,
    "1 in self.xs": 2 + 5,
}


@pytest.mark.parametrize(("text", "most"), COSTS.items(), ids=COSTS)
def test_costs(text: str, most: int) -> None:
    declared = cel.declare(SCHEMA)
    assert declared is not None
    assert cel.Environment({"self": declared}).compile(text).cost.most == most


def test_a_loop_costs_its_body_as_often_as_the_schema_allows() -> None:
    declared = cel.declare(SCHEMA)
    assert declared is not None
    environment = cel.Environment({"self": declared})
    five = environment.compile("self.xs.all(x, x > 0)").cost.most
    unbounded = environment.compile("self.all.all(x, x > 0)").cost.most
    nested = environment.compile("self.all.all(x, self.all.all(y, x > y))").cost.most
    assert five < 50 < 1_000_000 < unbounded < 10_000_000 < nested


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".n", "n"),
        (".labels.app", "labels[app]"),
        (".labels['a.b/c']", "labels[a.b/c]"),
        ("['a/b']", "a/b"),
        (".nope", None),
        ("n", None),
        (".n.x", None),
        (".xs[0]", None),
        (".labels['a", None),
    ],
)
def test_paths(path: str, found: str | None) -> None:
    assert normalize(path, SCHEMA) == found
