"""The label index answers as a scan of all objects would, also while it grows and objects change."""

from __future__ import annotations

from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from tiphys.apiserver.watch_cache import labels
from tiphys.apiserver.watch_cache.labels import LabelIndex
from tiphys.apiserver.watch_cache.objects import CachedObject

_VALUES = ("a", "b", "c")
_LABELS = st.dictionaries(st.sampled_from(("app", "tier")), st.sampled_from(_VALUES), max_size=2)
_DEMANDS = st.dictionaries(
    st.sampled_from(("app", "tier")), st.frozensets(st.sampled_from(_VALUES), min_size=1), min_size=1
)
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 99), _LABELS),
        st.tuples(st.just("delete"), st.integers(0, 99), st.just({})),
        st.tuples(st.just("ask"), st.just(0), _DEMANDS),
    ),
    max_size=40,
)


@given(start=st.lists(_LABELS, min_size=80, max_size=99), steps=_STEPS)
def test_candidates_are_what_a_scan_finds(start: list[dict[str, str]], steps: list[tuple[str, int, dict]]) -> None:  # type: ignore[type-arg]
    index = LabelIndex()
    objects = {f"pod-{n}": CachedObject(f"pod-{n}", b"", 1, carried, "") for n, carried in enumerate(start)}
    with patch.object(labels, "_OBJECTS_A_QUESTION", 30):
        for kind, number, what in steps:
            key = f"pod-{number}"
            previous = objects.get(key)
            if kind == "put":
                objects[key] = CachedObject(key, b"", 2, what, "")
                index.replace(previous, objects[key])
            elif kind == "delete" and previous is not None:
                del objects[key]
                index.replace(previous, None)
            elif kind == "ask":
                _check(index, objects, what)


def _check(index: LabelIndex, objects: dict[str, CachedObject], demands: dict[str, frozenset[str]]) -> None:
    found = index.candidates(demands, objects)
    wanted = {
        key for key, obj in objects.items() if all(obj.labels.get(label) in values for label, values in demands.items())
    }
    if found is None:
        assert len(objects) < 64
        return
    assert len(found) == len(set(found)), "no key twice"
    assert wanted <= set(found) <= set(objects)
    if len(demands) == 1:
        assert wanted == set(found)
