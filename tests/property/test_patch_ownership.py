"""Field ownership holds whatever is written, in whatever order."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tiphys.api import codec
from tiphys.api.errors import ApiError
from tiphys.api.patch import merge_patch, of_definition, server_side_apply, strategic_merge, update_managed_fields
from tiphys.api.patch.comparing import compare
from tiphys.api.patch.field_sets import difference, intersection, paths, union

_NOW = "2026-01-01T00:00:00Z"
_POD = of_definition("io.k8s.api.core.v1.Pod")

Map = dict[str, Any]

_names = st.sampled_from(["a", "b", "c"])
_texts = st.sampled_from(["1", "2", "3"])
_ports = st.lists(
    st.builds(
        lambda port, protocol: {"containerPort": port, "protocol": protocol},
        st.integers(1, 3),
        st.sampled_from(["TCP", "UDP"]),
    ),
    max_size=3,
    unique_by=lambda port: (port["containerPort"], port["protocol"]),
)
_containers = st.lists(
    st.fixed_dictionaries(
        {"name": _names},
        optional={
            "image": _texts,
            "args": st.lists(_texts, min_size=1, max_size=2),
            "ports": _ports.filter(bool),
            "env": st.dictionaries(_names, _texts, min_size=1, max_size=2).map(
                lambda pairs: [{"name": name, "value": value} for name, value in pairs.items()]
            ),
        },
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda container: str(container["name"]),
)
_specs = st.fixed_dictionaries(
    {"containers": _containers},
    optional={
        "nodeName": _texts,
        "nodeSelector": st.dictionaries(_names, _texts, min_size=1, max_size=2),
        "securityContext": st.fixed_dictionaries({}, optional={"runAsUser": st.integers(0, 2)}),
    },
)
_metadata = st.fixed_dictionaries(
    {"name": st.just("p")},
    optional={
        "labels": st.dictionaries(_names, _texts, min_size=1, max_size=2),
        "finalizers": st.lists(_names, min_size=1, max_size=2, unique=True),
    },
)
_pods: st.SearchStrategy[Map] = st.builds(
    lambda metadata, spec: {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}, _metadata, _specs
)


def _plain(obj: Map) -> Map:
    found: Map = codec.without_nulls(obj)
    return found


def _without_ownership(obj: Map) -> Map:
    metadata = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    return _plain({**obj, "metadata": metadata})


def _owned(obj: Map, manager: str) -> set[tuple[str, ...]]:
    for entry in obj["metadata"].get("managedFields", []):
        if entry["manager"] == manager:
            return set(paths(entry["fieldsV1"]))
    return set()


def _apply(live: Map | None, pod: Map, manager: str, force: bool = False) -> Map:
    return _plain(server_side_apply(live, pod, manager=manager, now=_NOW, force=force))


def _update(live: Map | None, pod: Map, manager: str) -> Map:
    entries = update_managed_fields(live, pod, manager=manager, now=_NOW)
    found = _without_ownership(pod)
    if entries:
        found["metadata"]["managedFields"] = entries
    return found


@given(_pods)
def test_apply_is_idempotent(pod: Map) -> None:
    once = _apply(None, pod, "m")
    assert _apply(once, pod, "m") == once
    assert _without_ownership(once) == pod


@given(_pods, _pods)
def test_applying_again_gives_up_what_is_no_longer_said(first: Map, second: Map) -> None:
    live = _apply(_apply(None, first, "m"), second, "m")
    assert _sorted(_without_ownership(live)) == _sorted(second)


@given(_pods, _pods)
@settings(max_examples=200)
def test_two_managers_never_lose_each_others_fields(first: Map, second: Map) -> None:
    live = _apply(None, first, "m")
    try:
        both = _apply(live, second, "n")
    except ApiError as error:
        assert error.code == 409
        return
    assert _owned(both, "m") == _owned(live, "m")
    assert _sorted(_apply(both, first, "m")) == _sorted(both)
    alone = _apply(both, {**second, "spec": {"containers": []}, "metadata": {"name": "p"}}, "n")
    assert _sorted(_without_ownership(alone)) == _sorted(first)


@given(_pods, _pods)
def test_forced_fields_change_hands(first: Map, second: Map) -> None:
    live = _apply(_apply(None, first, "m"), second, "n", force=True)
    assert _apply(live, second, "n") == live
    lost = _owned(_apply(None, first, "m"), "m") - _owned(live, "m")
    assert lost <= _owned(live, "n")


@given(_pods, _pods)
def test_an_update_owns_exactly_what_it_changed(first: Map, second: Map) -> None:
    live = _update(None, first, "m")
    after = _update(live, second, "n")
    assert _owned(after, "m").isdisjoint(_owned(after, "n"))
    if first == second:
        assert after == live


@given(_pods, _pods)
def test_neither_document_is_changed(first: Map, second: Map) -> None:
    before = copy.deepcopy((first, second))
    live = _update(None, first, "m")
    snapshot = copy.deepcopy(live)
    update_managed_fields(live, second, manager="n", now=_NOW)
    _apply(live, second, "n", force=True)
    strategic_merge(live, second, _POD)
    merge_patch(live, second)
    assert (first, second) == before
    assert live == snapshot


@given(_pods, _pods)
def test_a_patch_that_says_everything_equals_an_update(first: Map, second: Map) -> None:
    patch = {**second, "spec": {"$patch": "replace", **second["spec"]}, "metadata": {"$patch": "replace"}}
    patch["metadata"] |= second["metadata"]
    assert strategic_merge(first, patch, _POD) == second
    assert strategic_merge({}, second, _POD) == second
    assert merge_patch({}, second) == second


@given(_pods, _pods)
def test_field_sets_behave_as_sets(first: Map, second: Map) -> None:
    left, right = compare(_POD, {}, first).taken, compare(_POD, {}, second).taken
    ours, theirs = set(paths(left)), set(paths(right))
    assert set(paths(union(left, right))) == ours | theirs
    assert set(paths(difference(left, right))) == ours - theirs
    assert set(paths(intersection(left, right))) == ours & theirs
    assert difference(left, left) == {}


def _sorted(obj: Any) -> Any:
    """Order of keyed items and sets does not count; a map that was emptied is as good as none."""
    if isinstance(obj, dict):
        return {key: _sorted(value) for key, value in obj.items() if value != {}}
    if isinstance(obj, list) and obj and isinstance(obj[0], dict):
        return sorted((_sorted(item) for item in obj), key=_text)
    return sorted(obj) if isinstance(obj, list) else obj


def _text(obj: Any) -> str:
    return json.dumps(obj, sort_keys=True)
