from typing import Any

import pytest

from tiphys.api.errors import ApiError
from tiphys.api.patch import merge_patch, of_definition, strategic_merge

_POD = of_definition("io.k8s.api.core.v1.Pod")
_DEPLOYMENT = of_definition("io.k8s.api.apps.v1.Deployment")

Map = dict[str, Any]


def _containers(*names: str) -> Map:
    return {"spec": {"containers": [{"name": name, "image": "i"} for name in names]}}


def test_merge_patch_is_rfc_7386() -> None:
    document = {"a": {"b": 1, "c": [1]}, "d": 2}
    assert merge_patch(document, {"a": {"b": None, "c": [2]}, "e": {"f": None, "g": 1}}) == {
        "a": {"c": [2]},
        "d": 2,
        "e": {"g": 1},
    }
    assert document == {"a": {"b": 1, "c": [1]}, "d": 2}
    with pytest.raises(ApiError, match=r"error decoding patch: json: cannot unmarshal array"):
        merge_patch(document, [])


def test_lists_of_scalars() -> None:
    live = {"metadata": {"finalizers": ["a", "b"]}, "spec": {"containers": [{"name": "c", "args": ["x"]}]}}
    merged = strategic_merge(live, {"metadata": {"finalizers": ["c", "a"]}}, _POD)
    assert merged["metadata"]["finalizers"] == ["c", "a", "b"]
    fewer = strategic_merge(live, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}, _POD)
    assert fewer["metadata"]["finalizers"] == ["b"]
    atomic = strategic_merge(live, {"spec": {"containers": [{"name": "c", "args": ["y"]}]}}, _POD)
    assert atomic["spec"]["containers"] == [{"name": "c", "args": ["y"]}]


def test_directives_in_lists() -> None:
    live = _containers("a", "b", "c")
    deleted = strategic_merge(live, {"spec": {"containers": [{"$patch": "delete", "name": "b"}]}}, _POD)
    assert [c["name"] for c in deleted["spec"]["containers"]] == ["a", "c"]
    patch = {"spec": {"containers": [{"$patch": "replace"}, {"name": "z"}]}}
    assert strategic_merge(live, patch, _POD)["spec"]["containers"] == [{"name": "z"}]
    ordered = strategic_merge(live, {"spec": {"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}]}}, _POD)
    assert [c["name"] for c in ordered["spec"]["containers"]] == ["b", "c", "a"]
    assert live == _containers("a", "b", "c")


def test_retain_keys() -> None:
    live = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert strategic_merge(live, patch, _DEPLOYMENT)["spec"]["strategy"] == {"type": "Recreate"}
    with pytest.raises(ApiError, match="invalid patch format of retainKeys"):
        strategic_merge(live, {"spec": {"strategy": {"$retainKeys": [], "type": "Recreate"}}}, _DEPLOYMENT)


def test_replaced_by_strategy() -> None:
    budget = of_definition("io.k8s.api.policy.v1.PodDisruptionBudget")
    live = {"spec": {"selector": {"matchLabels": {"a": "1"}}}}
    patch = {"spec": {"selector": {"matchLabels": {"b": "2"}}}}
    assert strategic_merge(live, patch, budget)["spec"]["selector"] == {"matchLabels": {"b": "2"}}


def test_new_values_lose_directives_and_nulls() -> None:
    patch = {"spec": {"containers": [{"name": "n", "image": None, "env": [{"$patch": "delete", "name": "A"}]}]}}
    assert strategic_merge({}, patch, _POD) == {"spec": {"containers": [{"name": "n", "env": []}]}}


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ({"spec": {"containers": [{"image": "x"}]}}, "map: map[image:x] does not contain declared merge key: name"),
        ({"spec": {"$patch": "smudge"}}, "unknown patch type: smudge in map: map[$patch:smudge]"),
        ({"spec": {"containers": [{"$patch": "merge"}]}}, "merging lists cannot yet be specified in the patch"),
    ],
)
def test_errors(patch: Map, message: str) -> None:
    with pytest.raises(ApiError) as caught:
        strategic_merge(_containers("a"), patch, _POD)
    assert (caught.value.code, caught.value.message) == (500, message)
