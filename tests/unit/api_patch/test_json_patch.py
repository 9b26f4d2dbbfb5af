from typing import Any

import pytest

from tiphys.api.errors import ApiError
from tiphys.api.patch import json_patch

_DOCUMENT: dict[str, Any] = {"a": {"b": [1, 2, 3]}, "c~/d": 1, "n": None}


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ({"op": "add", "path": "/x", "value": 1}, {**_DOCUMENT, "x": 1}),
        ({"op": "add", "path": "/a/b/1", "value": 9}, {**_DOCUMENT, "a": {"b": [1, 9, 2, 3]}}),
        ({"op": "add", "path": "/a/b/-", "value": 9}, {**_DOCUMENT, "a": {"b": [1, 2, 3, 9]}}),
        ({"op": "add", "path": "/a/b/3", "value": 9}, {**_DOCUMENT, "a": {"b": [1, 2, 3, 9]}}),
        ({"op": "replace", "path": "/a/b/0", "value": 9}, {**_DOCUMENT, "a": {"b": [9, 2, 3]}}),
        ({"op": "remove", "path": "/a/b/-1"}, {**_DOCUMENT, "a": {"b": [1, 2]}}),
        ({"op": "remove", "path": "/c~0~1d"}, {"a": {"b": [1, 2, 3]}, "n": None}),
        ({"op": "move", "from": "/a/b/0", "path": "/m"}, {**_DOCUMENT, "a": {"b": [2, 3]}, "m": 1}),
        ({"op": "copy", "from": "/a/b", "path": "/m"}, {**_DOCUMENT, "m": [1, 2, 3]}),
        ({"op": "test", "path": "/a/b", "value": [1, 2, 3]}, _DOCUMENT),
        ({"op": "test", "path": "/missing", "value": None}, _DOCUMENT),
        ({"op": "replace", "path": "", "value": {"z": 1}}, {"z": 1}),
    ],
)
def test_operations(operation: dict[str, Any], expected: dict[str, Any]) -> None:
    before = {**_DOCUMENT, "a": {"b": [1, 2, 3]}}
    assert json_patch(before, [operation]) == expected
    assert before == _DOCUMENT


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/missing"},
        {"op": "replace", "path": "/missing", "value": 1},
        {"op": "add", "path": "/missing/x", "value": 1},
        {"op": "add", "path": "/a/b/4", "value": 1},
        {"op": "add", "path": "/a/b/x", "value": 1},
        {"op": "add", "path": "/a/b/01", "value": 1},
        {"op": "add", "path": "a", "value": 1},
        {"op": "add", "path": "/x"},
        {"op": "test", "path": "/a/b/0", "value": True},
        {"op": "test", "path": "/a/b", "value": [1]},
        {"op": "move", "from": "/a", "path": "/a/b/x"},
        {"op": "copy", "from": "/missing", "path": "/x"},
        {"op": "merge", "path": "/x", "value": 1},
        {"op": "replace", "path": "", "value": []},
    ],
)
def test_what_does_not_apply_is_refused_as_a_whole(operation: dict[str, Any]) -> None:
    with pytest.raises(ApiError) as caught:
        json_patch(_DOCUMENT, [{"op": "add", "path": "/first", "value": 1}, operation])
    assert (caught.value.code, caught.value.reason) == (422, "Invalid")


def test_limits_and_types() -> None:
    with pytest.raises(ApiError) as caught:
        json_patch({}, [{"op": "test", "path": "/a", "value": None}] * 10_001)
    assert caught.value.code == 413
    assert "maximum operations in a JSON patch is 10000, got 10001" in caught.value.message
    with pytest.raises(ApiError) as caught:
        json_patch({}, ["x"])
    assert caught.value.code == 400
