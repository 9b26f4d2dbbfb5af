"""Which fields a definition may let field selectors name."""

from __future__ import annotations

import pytest

from tiphys.api.field_errors import FieldError
from tiphys.api.types.apiextensions_v1 import SelectableField
from tiphys.api.validation.selectable_fields import check_selectable_fields

SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                **{f"s{n}": {"type": "string"} for n in range(10)},
                "on": {"type": "boolean"},
                "list": {"type": "array", "items": {"type": "string"}},
                "port-name": {"type": "integer"},
            },
        }
    },
}


def problems(*paths: str) -> list[str]:
    errors: list[FieldError] = []
    check_selectable_fields([SelectableField(json_path=path) for path in paths], SCHEMA, "f", errors)
    return [str(error) for error in errors]


def test_good_ones() -> None:
    assert problems(".spec.s0", ".spec.on", ".spec.port-name") == []


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("", "f[0].jsonPath: Required value"),
        (
            ".spec.nope",
            'f[0].jsonPath: Invalid value: ".spec.nope": is an invalid path: does not refer to a valid field',
        ),
        ("spec.s0", 'f[0].jsonPath: Invalid value: "spec.s0": is an invalid path: expected [ or . but got: spec.s0'),
        (".metadata", 'f[0]: Invalid value: ".metadata": must not point to fields in metadata'),
        (
            ".spec.list",
            'f[0]: Invalid value: ".spec.list": must point to a field of type string, boolean or integer. Enum string '
            "fields and strings with formats are allowed.",
        ),
    ],
)
def test_refused(path: str, problem: str) -> None:
    assert problems(path)[0] == problem


def test_repeats_and_too_many() -> None:
    assert problems(".spec.s0", ".spec.s0") == ['f[1]: Duplicate value: ".spec.s0"']
    assert problems(*(f".spec.s{n}" for n in range(9))) == ["f: Too many: 9: must have at most 8 items"]
