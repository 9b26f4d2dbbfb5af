"""The documentation's example is what the code says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import yaml

from tests.unit.scheduler.explaining.clusters import model
from tiphys.api.codec import from_dict
from tiphys.api.types.core_v1 import Node, Pod
from tiphys.scheduler.explaining.carried import CarriedReasons
from tiphys.scheduler.explaining.explain import explain
from tiphys.scheduler.explaining.explanation import Change, Explanation, Remedy, Verdict
from tiphys.scheduler.explaining.words import render

PAGE = (Path(__file__).resolve().parents[4] / "docs" / "why-pending.md").read_text()


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)\n```", PAGE, re.DOTALL)
    return str(found)


def example() -> tuple[Pod, list[Any]]:
    kinds: dict[str, type[Any]] = {"Node": Node, "Pod": Pod}
    *others, waiting = [from_dict(kinds[one["kind"]], one) for one in yaml.safe_load_all(block("yaml"))]
    return waiting, others


def test_the_example() -> None:
    waiting, others = example()
    assert render(explain(waiting, model(others))) == block("text")


def test_what_the_pod_carries() -> None:
    waiting, others = example()
    there = model(others)
    assert CarriedReasons(there.cluster, there.plugins).of(there.template_of(waiting), 0.0) == block("json")


def test_every_field_and_verdict_is_described() -> None:
    for struct in (Explanation, Remedy, Change):
        for field in msgspec.structs.fields(struct):
            if field.encode_name not in ("apiVersion", "kind", "leftOut"):
                assert f"`{field.encode_name}`" in PAGE or f"`{field.encode_name}[]`" in PAGE, field.encode_name
    for verdict in Verdict:
        assert f"`{verdict}`" in PAGE
