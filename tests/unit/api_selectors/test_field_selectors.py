import dataclasses

import pytest

from tiphys.api.errors import ApiError
from tiphys.api.scheme import Resource, by_gvk
from tiphys.api.selectors import FieldRequirement, parse_fields, resolve_fields


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


GENERIC = 'not a known field selector: only "metadata.name", "metadata.namespace"'


def kind(group: str, version: str, name: str) -> Resource:
    found = by_gvk(group, version, name)
    assert found is not None
    return found


def test_fields_of_kinds() -> None:
    asked = parse_fields("spec.host=a,metadata.name=b")
    assert resolve_fields(asked, kind("", "v1", "Pod")).equalities == {"spec.nodeName": "a", "metadata.name": "b"}
    asked = parse_fields("regarding.name=a,reportingController!=b")
    assert str(resolve_fields(asked, kind("events.k8s.io", "v1", "Event"))) == (
        "involvedObject.name=a,reportingComponent!=b"
    )


@pytest.mark.parametrize(
    ("resource", "field", "message"),
    [
        (
            ("", "v1", "ConfigMap"),
            "data",
            '"data" is not a known field selector: only "metadata.name", "metadata.namespace"',
        ),
        (("", "v1", "Pod"), "spec.x", "field label not supported: spec.x"),
        (("", "v1", "Node"), "metadata.namespace", "field label not supported: metadata.namespace"),
        (("", "v1", "Namespace"), "name", "field label not supported: name"),
        (("", "v1", "Event"), "regarding.name", "field label not supported: regarding.name"),
        (("events.k8s.io", "v1", "Event"), "involvedObject.name", "field label not supported: involvedObject.name"),
        (("batch", "v1", "Job"), "status.x", 'field label "status.x" not supported for Job'),
        (
            ("apps", "v1", "ReplicaSet"),
            "status.replicas",
            f'"status.replicas" is {GENERIC}',
        ),
        (
            ("resource.k8s.io", "v1", "ResourceSlice"),
            "spec.x",
            "field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: spec.x",
        ),
    ],
)
def test_refused_fields(resource: tuple[str, str, str], field: str, message: str) -> None:
    with pytest.raises(ApiError) as caught:
        resolve_fields(parse_fields(f"{field}=1"), kind(*resource))
    assert (caught.value.code, caught.value.message) == (400, message)


def test_custom_resources_have_the_fields_their_definition_names() -> None:
    widget = dataclasses.replace(kind("", "v1", "ConfigMap"), group="example.com", kind="Widget", plural="widgets")
    asked = parse_fields("spec.size=1,metadata.namespace=a")
    assert resolve_fields(asked, dataclasses.replace(widget, selectable_fields=("spec.size",))) == asked
    with pytest.raises(ApiError, match=r"field label not supported: spec\.size"):
        resolve_fields(asked, widget)
