"""Whatever is written as an expression, it is refused, fails or has a value: nothing crashes and nothing hangs."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tiphys.api import cel
from tiphys.api.cel.libraries import FUNCTIONS

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "n": {"type": "integer"},
        "s": {"type": "string"},
        "xs": {"type": "array", "items": {"type": "integer"}},
        "any": {"x-kubernetes-int-or-string": True},
        "anys": {"type": "array", "items": {"x-kubernetes-int-or-string": True}},
        "m": {"type": "object", "additionalProperties": {"type": "string"}},
        "o": {"type": "object", "properties": {"n": {"type": "integer"}}},
        "os": {"type": "array", "items": {"type": "object", "properties": {"n": {"type": "integer"}}}},
        "t": {"type": "string", "format": "date-time"},
    },
}
DATA: dict[str, Any] = {
    "n": 1,
    "s": "a.b/c:1",
    "xs": [3, 1],
    "any": "x",
    "anys": [1, "x"],
    "m": {"k": "v"},
    "o": {"n": 2},
    "os": [{"n": 1}, {}],
    "t": "2024-01-01T00:00:00Z",
}
DECLARED = cel.declare(SCHEMA, is_root=True)
assert DECLARED is not None
ENVIRONMENT = cel.Environment({"self": DECLARED}, previous=DECLARED)
SEEN = cel.expose(DECLARED, DATA)

LEAVES = st.sampled_from(
    (
        *(f"self.{name}" for name in (*DATA, "nope", "absent")),
        *("self", "oldSelf", "oldSelf.value()", "self.?n", "self.o.?n", "self.m[?'z']", "self.m.k", "self.any"),
        *(
            "1",
            "-1",
            "2u",
            "1.5",
            "'a'",
            "'1Gi'",
            "'10.0.0.0/8'",
            "'1.2.3'",
            "'[a'",
            "''",
            "b'x'",
            "true",
            "null",
            "[]",
            "{}",
        ),
        *("optional.none()", "optional.of(1)", "type(1)", "int", "duration('1s')", "x", "y", "dyn(1)", "dyn(type(1))"),
        *("dyn(optional.of(1))", "[optional.of(1)]", "[dyn(optional.of('a'))]", "{'a': optional.of(1)}", "[type(1)]"),
    )
)
_NAMES = sorted({row.name for row in FUNCTIONS})
_MEMBERS = [
    *_NAMES,
    "size",
    "matches",
    "contains",
    "split",
    "join",
    "replace",
    "format",
    "value",
    "orValue",
    "hasValue",
    "or",
]
_MACROS = ("all", "exists", "exists_one", "map", "filter")
_OPERATORS = ("+", "-", "*", "/", "%", "==", "!=", "<", ">=", "&&", "||", "in")


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    several = st.lists(inner, max_size=3).map(", ".join)
    return st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(_OPERATORS), inner),
        st.builds("{}.{}({})".format, inner, st.sampled_from(_MEMBERS), several),
        st.builds("{}({})".format, st.sampled_from((*_NAMES, "dyn", "type", "size", "string", "int", "has")), several),
        st.builds("{}.{}({}, {})".format, inner, st.sampled_from(_MACROS), st.sampled_from("xy"), inner),
        st.builds("({} ? {} : {})".format, inner, inner, inner),
        st.builds("[{}]".format, several),
        st.builds("{{'a': {}, {}: 1}}".format, inner, inner),
        st.builds("{}[{}]".format, inner, inner),
        st.builds("{}.optMap(x, {})".format, inner, inner),
        st.builds("cel.bind(x, {}, {})".format, inner, inner),
    )


EXPRESSIONS = st.recursive(LEAVES, _grown, max_leaves=12)


def run(text: str) -> None:
    started = time.thread_time()
    try:
        program = ENVIRONMENT.compile(text)
        for bindings in ({"self": SEEN, "oldSelf": SEEN}, {"self": SEEN}):
            try:
                program.evaluate(bindings)
            except cel.EvaluationError:
                pass
    except cel.CompileError:
        pass
    assert time.thread_time() - started < 2, text


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(EXPRESSIONS)
def test_expressions_never_break(text: str) -> None:
    run(text)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40))
def test_texts_never_break(text: str) -> None:
    run(text)


@pytest.mark.parametrize(
    "text", ["self" + ".a" * 5000, "[" * 3000, "(" * 3000, "1" + " + 1" * 3000, "!" * 5000 + "true", "-" * 5000 + "1"]
)
def test_long_ones_never_break(text: str) -> None:
    run(text)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.text(st.sampled_from("aB_.-/1é"), min_size=1, max_size=6), st.just({"type": "string"}), max_size=8
    )
)
def test_any_names_of_fields_can_be_declared(properties: dict[str, Any]) -> None:
    maps = {f"{name}x": {"type": "object", "additionalProperties": {"type": "integer"}} for name in properties}
    declared = cel.declare({"type": "object", "properties": {**properties, **maps}}, is_root=True)
    assert declared is not None
    environment = cel.Environment({"self": declared})
    assert environment.compile("self.metadata.name == 'a'").result == "bool"
    for name, found in declared.fields.items():
        if found.kind == "string":
            assert environment.compile(f"self.{name}").result == "string"
