"""Rules in CEL of custom resources, at a running server: what definitions may say, what objects may be."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conformance.api.running import Answer, RunningServer

GROUP = "rules.example.com"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
INTEGER = {"type": "integer"}
STRING = {"type": "string"}
_numbers = itertools.count(1)

Raw = Callable[..., Answer]


def rule(text: str, **more: Any) -> dict[str, Any]:
    return {"rule": text, **more}


def definition(spec: dict[str, Any], *rules: dict[str, Any]) -> dict[str, Any]:
    """A definition of a kind of its own whose `spec` has this schema; `rules` are the root's."""
    number = next(_numbers)
    schema: dict[str, Any] = {"type": "object", "properties": {"spec": spec}}
    if rules:
        schema["x-kubernetes-validations"] = list(rules)
    names = {"kind": f"Gear{number}", "plural": f"gear{number}s"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{names['plural']}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": names,
            "scope": "Cluster",
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }


def spec_of(*rules: dict[str, Any], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "x-kubernetes-validations": list(rules)}


class Kind:
    """A custom kind of `server`, and how to write its objects."""

    def __init__(self, raw: Raw, body: dict[str, Any]) -> None:
        self._raw = raw
        self._body = body
        names = body["spec"]["names"]
        self.kind, self.plural = names["kind"], names["plural"]
        self.path = f"/apis/{GROUP}/v1/{self.plural}"

    def write(self, method: str, path: str, spec: Any, **metadata: Any) -> Answer:
        meta = {"name": "one", **metadata}
        body = {"apiVersion": f"{GROUP}/v1", "kind": self.kind, "metadata": meta, "spec": spec}
        return self._raw(method, path, body)

    def create(self, spec: Any, **metadata: Any) -> Answer:
        return self.write("POST", self.path, spec, **metadata)

    def update(self, spec: Any) -> Answer:
        stored = self._raw("GET", f"{self.path}/one").json
        return self.write("PUT", f"{self.path}/one", spec, resourceVersion=stored["metadata"]["resourceVersion"])

    def redefine(self, spec: dict[str, Any]) -> None:
        """Another schema for `spec`; returns when it rules."""
        name = self._body["metadata"]["name"]
        patch = [{"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec", "value": spec}]
        answer = self._raw("PATCH", f"{DEFINITIONS}/{name}", patch, {"Content-Type": "application/json-patch+json"})
        assert answer.status == 200, answer.json


@pytest.fixture
def define(server: RunningServer) -> Iterator[Callable[..., Kind]]:
    made: list[str] = []

    def run(spec: dict[str, Any], *rules: dict[str, Any]) -> Kind:
        body = definition(spec, *rules)
        answer = server.raw("POST", DEFINITIONS, body)
        assert answer.status == 201, answer.json
        made.append(body["metadata"]["name"])
        kind = Kind(server.raw, body)
        until(lambda: server.raw("GET", kind.path).status == 200)
        return kind

    yield run
    for name in made:
        server.raw("DELETE", f"{DEFINITIONS}/{name}")


def until(holds: Callable[[], bool]) -> None:
    """Ask again until it is so."""
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline, "not in ten seconds"


def causes(answer: Answer) -> list[tuple[str, str, str]]:
    assert answer.status == 422, (answer.status, answer.json)
    return [(c["reason"], c["field"], c["message"]) for c in answer.json["details"]["causes"]]


def test_a_broken_rule_is_a_cause_at_its_place(define: Callable[..., Kind]) -> None:
    """The rule's text if it has no message; the value is not repeated for objects."""
    kind = define(spec_of(rule("self.low <= self.high"), low=INTEGER, high=INTEGER))
    assert kind.create({"low": 1, "high": 2}).status == 201
    found = causes(kind.create({"low": 3, "high": 2}, name="two"))
    assert found == [("FieldValueInvalid", "spec", "Invalid value: failed rule: self.low <= self.high")]


def test_rules_of_scalars_name_the_value(define: Callable[..., Kind]) -> None:
    limited = {"type": "integer", "x-kubernetes-validations": [rule("self < 10", message="too large")]}
    kind = define({"type": "object", "properties": {"size": limited}})
    assert causes(kind.create({"size": 12})) == [
        ("FieldValueInvalid", "spec.size", "Invalid value: 12: too large"),
    ]


def test_rules_of_the_root(define: Callable[..., Kind]) -> None:
    kind = define(
        {"type": "object", "properties": {}}, rule("self.metadata.name.startsWith('good')", message="bad name")
    )
    assert kind.create({}, name="good-one").status == 201
    assert causes(kind.create({}, name="evil")) == [("FieldValueInvalid", "<nil>", "Invalid value: bad name")]


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("FieldValueInvalid", "Invalid value: no"),
        ("FieldValueForbidden", "Forbidden: no"),
        ("FieldValueRequired", "Required value: no"),
        ("FieldValueDuplicate", "Duplicate value"),
    ],
)
def test_reasons_and_paths(define: Callable[..., Kind], reason: str, message: str) -> None:
    kind = define(spec_of(rule("has(self.name)", message="no", reason=reason, fieldPath=".name"), name=STRING))
    assert causes(kind.create({})) == [(reason, "spec.name", message)]


def test_messages_are_expressions_too(define: Callable[..., Kind]) -> None:
    bounded = {"type": "string", "maxLength": 10}
    kind = define(
        spec_of(rule("self.a == self.b", messageExpression="self.a + ' is not ' + self.b"), a=bounded, b=bounded)
    )
    assert causes(kind.create({"a": "x", "b": "y"})) == [("FieldValueInvalid", "spec", "Invalid value: x is not y")]
    # An expression that fails gives way to the message.
    assert causes(kind.create({"a": "x", "b": ""}))[0][2] == "Invalid value: x is not"


def test_transitions_are_ruled_on_update_alone(define: Callable[..., Kind]) -> None:
    immutable = {"type": "string", "x-kubernetes-validations": [rule("self == oldSelf", message="is immutable")]}
    kind = define({"type": "object", "properties": {"name": immutable, "other": STRING}})
    assert kind.create({"name": "a"}).status == 201
    assert kind.update({"name": "a", "other": "x"}).status == 200
    assert causes(kind.update({"name": "b"})) == [
        ("FieldValueInvalid", "spec.name", 'Invalid value: "b": is immutable')
    ]


def test_items_of_lists_that_are_maps_have_an_old_self(define: Callable[..., Kind]) -> None:
    grows = rule("self.size >= oldSelf.size", message="must not shrink")
    item = {**spec_of(grows, name=STRING, size=INTEGER), "required": ["name"]}
    disks = {
        "type": "array",
        "items": item,
        "maxItems": 10,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
    }
    kind = define({"type": "object", "properties": {"disks": disks}})
    assert kind.create({"disks": [{"name": "a", "size": 5}, {"name": "b", "size": 5}]}).status == 201
    shrunk = [{"name": "b", "size": 9}, {"name": "a", "size": 4}, {"name": "c", "size": 1}]
    assert causes(kind.update({"disks": shrunk})) == [
        ("FieldValueInvalid", "spec.disks[1]", "Invalid value: must not shrink"),
    ]


def test_the_order_of_sets_and_maps_means_nothing(define: Callable[..., Kind]) -> None:
    by_name = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
    item = {"type": "object", "properties": {"name": STRING, "n": INTEGER}, "required": ["name"]}
    disks = {"type": "array", "maxItems": 9, "items": item, **by_name}
    tags = {"type": "array", "maxItems": 9, "items": {**STRING, "maxLength": 9}, "x-kubernetes-list-type": "set"}
    text = "self.tags == oldSelf.tags && self.disks == oldSelf.disks"
    kind = define(spec_of(rule(text, message="changed"), tags=tags, disks=disks))
    assert kind.create({"tags": ["a", "b"], "disks": [{"name": "x", "n": 1}, {"name": "y"}]}).status == 201
    assert kind.update({"tags": ["b", "a"], "disks": [{"name": "y"}, {"name": "x", "n": 1}]}).status == 200
    for spec in ({"tags": ["b"], "disks": [{"name": "y"}]}, {"tags": ["a", "b"], "disks": [{"name": "x", "n": 2}]}):
        assert causes(kind.update(spec))[0][2] == "Invalid value: changed"


def test_an_optional_old_self_rules_new_objects_too(define: Callable[..., Kind]) -> None:
    text = "oldSelf.hasValue() ? self.n > oldSelf.value().n : self.n == 1"
    kind = define(spec_of(rule(text, message="counts from one", optionalOldSelf=True), n=INTEGER))
    assert causes(kind.create({"n": 2}))[0][2] == "Invalid value: counts from one"
    assert kind.create({"n": 1}).status == 201
    assert kind.update({"n": 2}).status == 200
    assert causes(kind.update({"n": 2}))[0][2] == "Invalid value: counts from one"


def test_what_was_wrong_before_its_rule_may_stay(define: Callable[..., Kind]) -> None:
    """Ratcheting: an unchanged value that a new rule refuses is a warning; a changed one is refused."""
    kind = define({"type": "object", "properties": {"a": STRING, "b": STRING}})
    assert kind.create({"a": "bad", "b": "x"}).status == 201
    strict = {"type": "string", "x-kubernetes-validations": [rule("self == 'good'", message="not good")]}
    kind.redefine({"type": "object", "properties": {"a": strict, "b": STRING}})
    until(lambda: kind.create({"a": "bad"}, name="probe", generateName="").status == 422)
    answer = kind.update({"a": "bad", "b": "y"})
    assert answer.status == 200, answer.json
    assert causes(kind.update({"a": "worse", "b": "y"})) == [
        ("FieldValueInvalid", "spec.a", 'Invalid value: "worse": not good'),
    ]


def test_what_is_evaluated_to_an_error_is_invalid(define: Callable[..., Kind]) -> None:
    kind = define(spec_of(rule("self.a == 'x'"), a=STRING))
    assert causes(kind.create({})) == [
        ("FieldValueInvalid", "spec", "Invalid value: \"object\": no such key: a evaluating rule: self.a == 'x'"),
    ]


def test_rules_wait_for_an_object_that_they_can_read(define: Callable[..., Kind]) -> None:
    kind = define(spec_of(rule("self.n > 1"), n=INTEGER))
    found = causes(kind.create({"n": "text"}))
    assert [reason for reason, _, _ in found] == ["FieldValueTypeInvalid", "FieldValueInvalid"]
    assert "some validation rules were not checked" in found[1][2]


def test_loops_are_bounded(define: Callable[..., Kind]) -> None:
    numbers = {"type": "array", "items": INTEGER, "maxItems": 600}
    kind = define(spec_of(rule("self.xs.all(x, self.xs.all(y, x + y >= 0))"), xs=numbers))
    assert kind.create({"xs": [1] * 60}).status == 201
    started = time.monotonic()
    found = causes(kind.create({"xs": [1] * 600}, name="two"))
    assert "cost exceeds limit" in found[0][2]
    assert time.monotonic() - started < 2


REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("unknown field", spec_of(rule("self.x == 1")), "rule", "undefined field 'x'"),
    (
        "types",
        spec_of(rule("self.a + 1 == 2"), a=STRING),
        "rule",
        "found no matching overload for '_+_' applied to '(string, int)'",
    ),
    ("not a bool", spec_of(rule("self.a"), a=STRING), "rule", "cel expression must evaluate to a bool"),
    ("syntax", spec_of(rule("self.a =="), a=STRING), "rule", "Syntax error"),
    ("no string", spec_of(rule("true", messageExpression="1")), "messageExpression", "must evaluate to a string"),
    ("reason", spec_of(rule("true", reason="Odd")), "reason", 'Unsupported value: "Odd"'),
    ("path", spec_of(rule("true", fieldPath=".no")), "fieldPath", "must be a valid path"),
    (
        "optional",
        spec_of(rule("true", optionalOldSelf=True)),
        "optionalOldSelf",
        "may not be set if oldSelf is not used in rule",
    ),
    ("regex", spec_of(rule("self.a.matches('[')"), a=STRING), "rule", "invalid matches argument"),
    ("lines", spec_of(rule("true", message="a\nb")), "message", "must not contain line breaks"),
]


@pytest.mark.parametrize(("spec", "field", "message"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_definitions_are_refused(raw: Raw, spec: dict[str, Any], field: str, message: str) -> None:
    answer = raw("POST", DEFINITIONS, definition(spec))
    root = "spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0]"
    ((_, where, text),) = causes(answer)
    assert where == f"{root}.{field}"
    assert message in text


def test_rules_that_cost_too_much_are_refused(raw: Raw) -> None:
    strings = {"type": "array", "items": {"type": "string"}}
    body = definition(spec_of(rule("self.xs.all(x, self.xs.all(y, x == y))"), xs=strings))
    found = causes(raw("POST", DEFINITIONS, body))
    place = "spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule"
    advice = (
        "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings "
        "are declared)"
    )
    assert found[0] == (
        "FieldValueForbidden",
        place,
        f"Forbidden: estimated rule cost exceeds budget by factor of more than 100x {advice}",
    )
    assert found[1][1:] == (
        place,
        "Forbidden: contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema",
    )
    assert found[2][1] == "spec.validation.openAPIV3Schema"


def test_old_self_has_no_meaning_in_lists_without_keys(raw: Raw) -> None:
    item = {"type": "string", "maxLength": 5, "x-kubernetes-validations": [rule("self == oldSelf")]}
    body = definition({"type": "object", "properties": {"xs": {"type": "array", "maxItems": 5, "items": item}}})
    ((_, where, text),) = causes(raw("POST", DEFINITIONS, body))
    root = "spec.validation.openAPIV3Schema.properties[spec].properties[xs]"
    assert where == f"{root}.items.x-kubernetes-validations[0].rule"
    assert text.endswith(f"oldSelf cannot be used on the uncorrelatable portion of the schema within {root}")
