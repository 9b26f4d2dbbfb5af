"""What is published of custom resources: OpenAPI v2 and v3, and what kubectl makes of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.conformance.api.running import RunningServer
from tests.conformance.customresources.definitions import OPEN, Defined, definition, version

_PATIENCE_SECONDS = 10
_KUBERNETES = "x-kubernetes-group-version-kind"
SCHEMA = {
    "type": "object",
    "description": "Foo CRD for Testing",
    "properties": {
        "spec": {
            "type": "object",
            "description": "Specification of Foo",
            "properties": {
                "bars": {
                    "type": "array",
                    "description": "List of Bars and their specs.",
                    "items": {
                        "type": "object",
                        "required": ["name"],
                        "properties": {
                            "name": {"type": "string", "description": "Name of Bar."},
                            "age": {"type": "string", "description": "Age of Bar."},
                            "feeling": {"type": "string", "nullable": True, "enum": ["Great", "Down"]},
                        },
                    },
                }
            },
        },
    },
}


class Published:
    """Definitions of one test, and what the server publishes of them."""

    def __init__(self, server: RunningServer, namespace: str) -> None:
        self.server = server
        self.namespace = namespace
        self._made = ExitStack()

    def define(self, *versions: dict[str, Any], group: str = "published.example.com") -> Defined:
        made = Defined(self.server, definition(*versions, group=group), self.namespace).established()
        self._made.callback(made.delete)
        return made

    def close(self) -> None:
        self._made.close()

    def kinds(self, group: str, name: str) -> dict[str, dict[str, Any]]:
        """The schemas of a group version by kind, as version 3 has them."""
        answer = self.server.raw("GET", f"/openapi/v3/apis/{group}/{name}")
        if answer.status != 200:
            return {}
        schemas = answer.json["components"]["schemas"].values()
        return {
            kind["kind"]: schema for schema in schemas for kind in schema.get(_KUBERNETES, ()) if kind["group"] == group
        }

    def definitions(self, group: str) -> set[tuple[str, str]]:
        """(version, kind) of a group in version 2."""
        found = self.server.raw("GET", "/openapi/v2").json["definitions"].values()
        return {
            (kind["version"], kind["kind"])
            for schema in found
            for kind in schema.get(_KUBERNETES, ())
            if kind["group"] == group
        }

    def kubectl(self, *arguments: str, stdin: str | None = None) -> tuple[int, str]:
        done = self.server.kubectl(*arguments, "-n", self.namespace, stdin=stdin, check=False)
        return done.returncode, done.stdout + done.stderr

    def write(self, kind: Defined, name: str, **members: Any) -> list[tuple[int, str]]:
        """By `kubectl create`, by `apply` of the same with a label, then deleted."""
        body = {"apiVersion": f"{kind.group}/v1", "kind": kind.kind, "metadata": {"name": name}, **members}
        created = self.kubectl("create", "--validate=true", "-f", "-", stdin=json.dumps(body))
        applied = self.kubectl("apply", "--validate=true", "-f", "-", stdin=json.dumps(body))
        self.kubectl("delete", kind.plural, name, "--ignore-not-found")
        return [created, applied]


@pytest.fixture
def published(server: RunningServer, namespace: str) -> Iterator[Published]:
    made = Published(server, namespace)
    yield made
    made.close()


def eventually(condition: Callable[[], Any]) -> Any:
    until = time.monotonic() + _PATIENCE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < until, "not in time"
        time.sleep(0.02)
    return found


def _accepted(answers: list[tuple[int, str]]) -> None:
    for code, said in answers:
        assert code == 0, said


def test_a_schema_is_published_and_explained(published: Published) -> None:
    """'[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for CRD with validation
    schema [Conformance]'"""
    cogs = published.define(version("v1", SCHEMA))
    good = {"spec": {"bars": [{"name": "x", "age": "10"}]}}
    _accepted(published.write(cogs, "good", **good))
    for code, said in published.write(cogs, "unknown", spec={"unknown": 1}):
        assert code != 0 and 'unknown field "spec.unknown"' in said
    for code, said in published.write(cogs, "less", spec={"bars": [{"age": "10"}]}):
        assert code != 0 and "spec.bars[0].name: Required value" in said
    for code, said in published.write(cogs, "feels", spec={"bars": [{"name": "x", "feeling": "Bad"}]}):
        assert code != 0 and 'supported values: "Great", "Down"' in said

    code, said = published.kubectl("explain", cogs.plural)
    assert code == 0 and "Foo CRD for Testing" in said and "Specification of Foo" in said
    code, said = published.kubectl("explain", f"{cogs.plural}.metadata")
    assert code == 0 and "creationTimestamp" in said
    code, said = published.kubectl("explain", f"{cogs.plural}.spec")
    assert code == 0 and "List of Bars and their specs." in said
    code, said = published.kubectl("explain", f"{cogs.plural}.spec.bars")
    assert code == 0 and "-required-" in said and "Name of Bar." in said
    assert published.kubectl("explain", f"{cogs.plural}.spec.bars2")[0] != 0
    # Version 2 has no null and no choices: what may be null is of no type there.
    found = published.server.raw("GET", "/openapi/v2").json["definitions"]
    (plain,) = [
        s for s in found.values() if {"group": cogs.group, "version": "v1", "kind": cogs.kind} in s.get(_KUBERNETES, ())
    ]
    bar = plain["properties"]["spec"]["properties"]["bars"]["items"]["properties"]
    assert "type" not in bar["feeling"] and bar["name"]["type"] == "string"


@pytest.mark.parametrize(
    ("group", "prefix"),
    [("published.example.com", "com.example.published"), ("a.testing.x-k8s.io", "io.x-k8s.testing.a")],
)
def test_definitions_are_named_by_the_group_reversed(published: Published, group: str, prefix: str) -> None:
    """What generators of clients go by; no behaviour of the suite's."""
    made = published.define(version("v1", OPEN), group=group)
    names = {f"{prefix}.v1.{made.kind}", f"{prefix}.v1.{made.kind}List"}
    assert names <= set(published.server.raw("GET", "/openapi/v2").json["definitions"])
    assert names <= set(published.server.raw("GET", f"/openapi/v3/apis/{group}/v1").json["components"]["schemas"])


def test_anything_goes_without_a_schema(published: Published) -> None:
    """'[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for CRD without validation
    schema [Conformance]'"""
    cogs = published.define(version("v1", OPEN))
    _accepted(published.write(cogs, "any", a={"b": [{"c": "d"}]}))
    code, said = published.kubectl("explain", cogs.plural)
    assert code == 0 and "DESCRIPTION:" in said


def test_unknown_members_at_the_root(published: Published) -> None:
    """'[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for CRD preserving unknown
    fields at the schema root [Conformance]'"""
    cogs = published.define(version("v1", {**SCHEMA, "x-kubernetes-preserve-unknown-fields": True}))
    _accepted(published.write(cogs, "any", a={"b": [{"c": "d"}]}))
    code, said = published.kubectl("explain", cogs.plural)
    assert code == 0 and f"KIND:       {cogs.kind}" in said


def test_unknown_members_of_what_is_embedded(published: Published) -> None:
    """'[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for CRD preserving unknown
    fields in an embedded object [Conformance]'"""
    embedded = {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "description": "Anything."}
    spec = {"type": "object", "properties": {"inner": embedded}}
    cogs = published.define(version("v1", {"type": "object", "properties": {"spec": spec}}))
    _accepted(published.write(cogs, "any", spec={"inner": {"b": [{"c": "d"}]}}))
    code, said = published.kubectl("explain", f"{cogs.plural}.spec")
    assert code == 0 and "inner" in said and "Anything." in said
    inner = published.kinds(cogs.group, "v1")[cogs.kind]["properties"]["spec"]["properties"]["inner"]
    assert inner["x-kubernetes-preserve-unknown-fields"] is True


def test_kinds_of_several_groups(published: Published) -> None:
    """'[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for multiple CRDs of different
    groups [Conformance]'"""
    made = [published.define(version("v1", SCHEMA), group=f"group{n}.example.com") for n in (1, 2)]
    for one in made:
        assert {one.kind, f"{one.kind}List"} <= published.kinds(one.group, "v1").keys()
        assert ("v1", one.kind) in published.definitions(one.group)


def test_several_kinds_of_a_group_version(published: Published) -> None:
    """'[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for multiple CRDs of same
    group and version but different kinds [Conformance]'"""
    made = [published.define(version("v1", SCHEMA), group="kinds.example.com") for _ in range(2)]
    assert {one.kind for one in made} <= published.kinds("kinds.example.com", "v1").keys()
    assert {("v1", one.kind) for one in made} <= published.definitions("kinds.example.com")


def test_several_versions_of_a_kind(published: Published) -> None:
    """'[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for multiple CRDs of same
    group but different versions [Conformance]'"""
    cogs = published.define(version("v1", SCHEMA), version("v2", SCHEMA))
    other = published.define(version("v3", SCHEMA))
    for name, kind in (("v1", cogs.kind), ("v2", cogs.kind), ("v3", other.kind)):
        assert kind in published.kinds(cogs.group, name)
        assert (name, kind) in published.definitions(cogs.group)


def test_a_renamed_version(published: Published) -> None:
    """'[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] updates the published spec when one
    version gets renamed [Conformance]'"""
    cogs = published.define(version("v2", SCHEMA), version("v3", SCHEMA), group="renamed.example.com")
    assert cogs.change([{"op": "replace", "path": "/spec/versions/1/name", "value": "v4"}]).status == 200
    eventually(lambda: cogs.kind in published.kinds(cogs.group, "v4"))
    assert not published.kinds(cogs.group, "v3")
    assert {name for name, _ in published.definitions(cogs.group)} == {"v2", "v4"}


def test_a_version_that_is_served_no_more(published: Published) -> None:
    """'[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] removes definition from spec when one
    version gets changed to not be served [Conformance]'"""
    cogs = published.define(version("v5", SCHEMA), version("v6", SCHEMA), group="unserved.example.com")
    before = published.kinds(cogs.group, "v5")
    assert cogs.change([{"op": "replace", "path": "/spec/versions/1/served", "value": False}]).status == 200
    eventually(lambda: not published.kinds(cogs.group, "v6"))
    assert {name for name, _ in published.definitions(cogs.group)} == {"v5"}
    assert published.kinds(cogs.group, "v5") == before
