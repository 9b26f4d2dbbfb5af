"""Schemas of definitions whose members are of other types are refused before anything believes in them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.unit.apiserver.harness import Api, make_server
from tests.unit.apiserver.test_protobuf import SCHEMA, definition
from tiphys.api import codec
from tiphys.api.types.apiextensions_v1 import CustomResourceDefinition
from tiphys.apiserver.customresources.schema_types import type_problem

PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
HEAD = "json: cannot unmarshal"
WHERE = "Go struct field JSONSchemaProps.spec.versions.schema.openAPIV3Schema"


def problem(schema: Any) -> str:
    return type_problem(codec.from_dict(CustomResourceDefinition, definition(schema)))


@pytest.mark.parametrize(
    "schema",
    [
        {},
        SCHEMA,
        {
            "items": [{}, {"type": "string"}],
            "additionalProperties": {"items": {}},
            "dependencies": {"a": ["b"], "c": {}},
        },
        {"maximum": 1, "minimum": -1.5, "maxLength": 2**40, "default": [1], "example": {"type": 5}, "enum": [None, 1]},
        {"type": None, "items": None, "properties": {"type": {"type": "string"}, "items": {"type": "array"}}},
        {"x-kubernetes-validations": [{"rule": "true"}], "externalDocs": {"url": "a"}, "not known": 5},
    ],
)
def test_schemas(schema: Any) -> None:
    assert problem(schema) == ""


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"required": 5}, f"{HEAD} number into {WHERE}.required of type []string"),
        ({"required": [5]}, f"{HEAD} number into {WHERE}.required of type string"),
        ({"nullable": "x"}, f"{HEAD} string into {WHERE}.nullable of type bool"),
        ({"maxLength": 1.5}, f"{HEAD} number 1.5 into {WHERE}.maxLength of type int64"),
        ({"properties": {"a": {"type": 5}}}, f"{HEAD} number into {WHERE}.properties.type of type string"),
        ({"items": {"allOf": [{"enum": 5}]}}, f"{HEAD} number into {WHERE}.items.allOf.enum of type "),
        ({"properties": {"a": 5}}, f"{HEAD} number into {WHERE}.properties of type "),
        ({"items": 5}, f"{HEAD} number into {WHERE}.items of type "),
        ({"additionalProperties": "x"}, f"{HEAD} string into {WHERE}.additionalProperties of type "),
        ({"additionalProperties": []}, f"{HEAD} array into {WHERE}.additionalProperties of type "),
        ({"dependencies": {"a": 5}}, f"{HEAD} number into {WHERE}.dependencies of type "),
        ({"dependencies": {"a": [5]}}, f"{HEAD} number into {WHERE}.dependencies of type string"),
        ({"x-kubernetes-validations": [5]}, f"{HEAD} number into {WHERE}.x-kubernetes-validations of type "),
    ],
)
def test_members_of_other_types(schema: Any, expected: str) -> None:
    assert problem(schema).startswith(expected)


@pytest.fixture(name="api")
async def _api() -> AsyncIterator[Api]:
    server, clock = make_server()
    await server.start()
    api = Api(server, clock)
    yield api
    await api.close()


async def test_they_are_refused_when_they_are_written(api: Api) -> None:
    bad = definition({"type": "object", "properties": {"a": 5}})
    refused = await api.call("POST", PATH, bad)
    assert (refused.status, refused.body["reason"]) == (400, "BadRequest")
    await api.create(PATH, definition({"type": "object", "properties": {"a": {"type": "string"}}}))
    name = f"{PATH}/roses.flowers.example.com"
    put = {**bad, "metadata": (await api.get(name))["metadata"]}
    assert (await api.call("PUT", name, put)).status == 400
    change = {"spec": bad["spec"]}
    assert (await api.call("PATCH", name, change, "application/merge-patch+json")).status in (400, 422)
    assert (await api.call("GET", "/openapi/v2")).status == 200
