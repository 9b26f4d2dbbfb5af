"""The tables beside this file: manifests, and what is refused of them in upstream's words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.api_validation.objects import build, refused, refused_update
from tiphys.api import advice
from tiphys.api.scheme import by_gvk

TABLES = Path(__file__).parent / "tables"


def cases() -> list[Any]:
    """(kind, namespace, case) of every table, numbered within it."""
    found = []
    for path in sorted(TABLES.glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            group_version, _, kind = document["kind"].rpartition("/")
            group, _, version = group_version.rpartition("/")
            resource = by_gvk(group, version, kind)
            assert resource is not None, document["kind"]
            namespace = "ns" if resource.namespaced else None
            for index, case in enumerate(document["cases"]):
                name = f"{path.stem}-{kind}-{index}"
                found.append(pytest.param(resource.struct, namespace, case, id=name))
    return found


@pytest.mark.parametrize(("kind", "namespace", "case"), cases())
def test_case(kind: type[Any], namespace: str | None, case: dict[str, Any]) -> None:
    expected = case.get("refused", [])
    if "refused_starts" in case:
        (problem,) = refused_update(kind, case["old"], case["manifest"], namespace=namespace)
        assert problem.startswith(case["refused_starts"])
    elif "old" in case:
        assert refused_update(kind, case["old"], case["manifest"], namespace=namespace) == expected
    else:
        assert refused(kind, case["manifest"], namespace=namespace) == expected
    if "warnings" in case:
        assert advice.on_create(build(kind, case["manifest"], namespace=namespace)) == case["warnings"]
