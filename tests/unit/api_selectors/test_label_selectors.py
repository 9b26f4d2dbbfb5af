import pytest

from tiphys.api.errors import ApiError
from tiphys.api.selectors import from_label_selector, from_labels, parse_labels
from tiphys.api.types.meta_v1 import LabelSelector, LabelSelectorRequirement


@pytest.mark.parametrize(
    ("text", "labels", "expected"),
    [
        ("", {}, True),
        ("a", {"a": ""}, True),
        ("a", {}, False),
        ("!a", {}, True),
        ("! a", {"a": "1"}, False),
        ("a=1", {"a": "1"}, True),
        ("a == 1", {"a": "2"}, False),
        ("a=", {"a": ""}, True),
        ("a=", {}, False),
        ("a=,b=2", {"a": "", "b": "2"}, True),
        ("a!=1", {}, True),
        ("a!=1", {"a": "1"}, False),
        ("tier in (web, api),env!=prod", {"tier": "api", "env": "dev"}, True),
        ("tier in (web,api),env!=prod", {"tier": "api", "env": "prod"}, False),
        ("tier notin (web,api)", {}, True),
        ("tier notin (web,api)", {"tier": "web"}, False),
        ("a in (,x)", {"a": ""}, True),
        ("a in (x,)", {"a": ""}, True),
        ("in in (in)", {"in": "in"}, True),
        ("g>3", {"g": "4"}, True),
        ("g>3", {"g": "x"}, False),
        ("g<3", {"g": "2"}, True),
        ("g<3", {}, False),
        ("a=1,b=2", {"a": "1", "b": "2", "c": "3"}, True),
        ("a=1,a=2", {"a": "1"}, False),
        ("example.com/a=1", {"example.com/a": "1"}, True),
    ],
)
def test_matching(text: str, labels: dict[str, str], expected: bool) -> None:
    assert parse_labels(text).matches(labels) is expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a===b", "unable to parse requirement: found '=', expected: identifier"),
        ("a,", "found '', expected: identifier after ','"),
        (",a", "found ',', expected: !, identifier, or 'end of string'"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a in (b c)", "unable to parse requirement: found 'c', expected: ',' or ')'"),
        ("a in (=)", "unable to parse requirement: found '=', expected: ',', ')' or identifier"),
        (
            "a in ()",
            "unable to parse requirement: values: Invalid value: []: "
            "for 'in', 'notin' operators, values set can't be empty",
        ),
        (
            "a>x",
            'unable to parse requirement: values[0]: Invalid value: "x": '
            "for 'Gt', 'Lt' operators, the value must be an integer",
        ),
        ("!", "unable to parse requirement: found '', expected: identifier"),
    ],
)
def test_parse_errors(text: str, message: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse_labels(text)
    assert (caught.value.code, caught.value.message) == (400, message)


def test_bad_keys_and_values_are_named() -> None:
    with pytest.raises(ApiError) as caught:
        parse_labels("-a=b")
    assert caught.value.message.startswith('unable to parse requirement: <nil>: Invalid value: "-a": name part must')
    with pytest.raises(ApiError) as caught:
        parse_labels("a=-b")
    assert caught.value.message.startswith('unable to parse requirement: values[0][a]: Invalid value: "-b": a valid')


def test_demands_are_what_an_index_can_answer() -> None:
    assert parse_labels("a=1,b in (2),c in (3,4),d!=5,e").demands == {"a": {"1"}, "b": {"2"}, "c": {"3", "4"}}


def test_text_form_is_canonical() -> None:
    assert str(parse_labels("z,b in (y,x),!c,d>1")) == "b in (x,y),!c,d>1,z"


def test_objects() -> None:
    assert from_label_selector(None).is_nothing
    assert not from_label_selector(None).matches({})
    assert from_label_selector(LabelSelector()).is_everything
    selector = from_label_selector(
        LabelSelector(
            match_labels={"a": "1"},
            match_expressions=(LabelSelectorRequirement(key="b", operator="NotIn", values=("x",)),),
        )
    )
    assert selector.matches({"a": "1"})
    assert not selector.matches({"a": "1", "b": "x"})
    assert from_labels({"a": "1"}).matches({"a": "1", "b": "2"})


def test_unknown_operator_of_an_object() -> None:
    bad = LabelSelector(match_expressions=(LabelSelectorRequirement(key="b", operator="Near"),))
    with pytest.raises(ApiError, match='"Near" is not a valid label selector operator'):
        from_label_selector(bad)
