"""The protocol's forms."""

from __future__ import annotations

import pytest

from tests.unit.scheduler.objects import container, node, pod
from tiphys.api import codec
from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import ResourceRequirements
from tiphys.scheduler.extenders import wire


async def test_arguments_have_gos_names_and_either_nodes_or_names() -> None:
    nodes = [node(f"n{number}") for number in range(120)]
    whole = codec.decode_any(await wire.arguments(pod("a"), nodes, names_only=False))
    assert set(whole) == {"Pod", "Nodes", "NodeNames"}
    assert whole["Pod"]["metadata"]["name"] == "a"
    assert [item["metadata"]["name"] for item in whole["Nodes"]["items"]] == [n.metadata.name for n in nodes]
    assert whole["NodeNames"] is None
    short = codec.decode_any(await wire.arguments(pod("a"), nodes[:2], names_only=True))
    assert (short["Nodes"], short["NodeNames"]) == (None, ["n0", "n1"])


def test_the_binding_says_whom_and_where() -> None:
    sent = codec.decode_any(wire.binding_arguments("ns", "a", "u1", "n1"))
    assert sent == {"PodName": "a", "PodNamespace": "ns", "PodUID": "u1", "Node": "n1"}


@pytest.mark.parametrize("names", ["NodeNames", "nodenames", "nodeNames"])
def test_an_answers_fields_may_be_in_any_case(names: str) -> None:
    body = f'{{"{names}": ["n1"], "failedNodes": {{"n2": "full"}}, "FAILEDANDUNRESOLVABLENODES": {{"n3": "no"}}}}'
    found = wire.filter_result(body.encode(), by_name=True)
    assert found == (["n1"], {"n2": "full"}, {"n3": "no"}, "")


def test_names_count_only_for_those_that_were_sent_names() -> None:
    body = b'{"Nodes": {"items": [{"metadata": {"name": "n1"}, "spec": {}}]}, "NodeNames": ["n2"], "Error": ""}'
    assert wire.filter_result(body, by_name=False).passed == ["n1"]
    assert wire.filter_result(body, by_name=True).passed == ["n2"]
    assert wire.filter_result(b'{"Nodes": null, "NodeNames": null}', by_name=True).passed == []
    assert wire.filter_result(b"null", by_name=True).passed == []


def test_scores_and_what_a_binding_answers() -> None:
    assert wire.priorities(b'[{"Host": "n1", "Score": 7}, {"host": "n2", "score": 3}]') == {"n1": 7, "n2": 3}
    assert wire.priorities(b"null") == {}
    assert wire.binding_error(b'{"error": "taken"}') == "taken"
    assert wire.binding_error(b"{}") == ""


def test_managed_resources_are_looked_for_in_requests_and_limits_of_all_containers() -> None:
    gpu = {"example.com/gpu": Quantity("1")}
    limited = container(cpu="1")
    limited.resources = ResourceRequirements(limits=gpu)
    assert wire.managed(pod("a", containers=(container(),), init_containers=(limited,)), ["example.com/gpu"])
    assert wire.managed(pod("b", containers=(limited,)), ["example.com/gpu"])
    assert not wire.managed(pod("c", cpu="1"), ["example.com/gpu"])
