import pytest

from tiphys.api.errors import ApiError
from tiphys.api.selectors import FieldRequirement, check_fields, parse_fields


def test_parsing_and_matching() -> None:
    selector = parse_fields("spec.nodeName=a,status.phase!=Running,")
    assert selector.requirements == (
        FieldRequirement("spec.nodeName", True, "a"),
        FieldRequirement("status.phase", False, "Running"),
    )
    assert selector.equalities == {"spec.nodeName": "a"}
    assert selector.matches({"spec.nodeName": "a", "status.phase": "Failed"}.__getitem__)
    assert not selector.matches({"spec.nodeName": "a", "status.phase": "Running"}.__getitem__)
    assert parse_fields("").is_everything


def test_escapes_survive_a_round_trip() -> None:
    selector = parse_fields(r"a=x\,y\=z\\")
    assert selector.requirements == (FieldRequirement("a", True, r"x,y=z" + "\\"),)
    assert str(selector) == r"a=x\,y\=z\\"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a", "invalid selector: 'a'; can't understand 'a'"),
        ("a=b=c", "invalid field selector: unescaped character in value: ="),
        (r"a=b\c", r"invalid field selector: invalid escape sequence: \c"),
    ],
)
def test_parse_errors(text: str, message: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse_fields(text)
    assert (caught.value.code, caught.value.message) == (400, message)


def test_fields_of_kinds() -> None:
    check_fields(parse_fields("spec.nodeName=a,metadata.name=b"), "", "Pod")
    check_fields(parse_fields("spec.size=1"), "example.com", "Widget", ("spec.size",))
    with pytest.raises(ApiError) as caught:
        check_fields(parse_fields("data=x"), "", "ConfigMap")
    assert caught.value.message == '"data" is not a known field selector: only "metadata.name", "metadata.namespace"'
    with pytest.raises(ApiError, match=r"field label not supported: spec\.x"):
        check_fields(parse_fields("spec.x=1"), "", "Pod")
