"""Lists in chunks, through the official client."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kubernetes import client
from kubernetes.client import ApiClient, ApiException

from tests.conformance.api.running import RunningServer

TOTAL = 40
LIMIT = TOTAL // 3 + 1


@pytest.fixture
def templates(api_client: ApiClient, namespace: str) -> client.CoreV1Api:
    """The API of a namespace with forty pod templates."""
    api = client.CoreV1Api(api_client)
    for number in range(TOTAL):
        container = client.V1Container(name="test", image="test2")
        template = client.V1PodTemplateSpec(
            metadata=client.V1ObjectMeta(labels={"pod-template": "true"}),
            spec=client.V1PodSpec(containers=[container]),
        )
        body = client.V1PodTemplate(metadata=client.V1ObjectMeta(name=f"template-{number:04}"), template=template)
        api.create_namespaced_pod_template(namespace, body)
    return api


def names(page: Any) -> list[str]:
    return [item.metadata.name for item in page.items]


ALL = [f"template-{number:04}" for number in range(TOTAL)]


def test_chunks_make_the_whole(templates: client.CoreV1Api, namespace: str) -> None:
    """[sig-api-machinery] Servers with support for API chunking should return chunks of results for list calls
    [Conformance]"""
    found: list[str] = []
    token, revision = None, ""
    while True:
        options = {"_continue": token} if token else {}
        page = templates.list_namespaced_pod_template(namespace, limit=LIMIT, **options)
        assert len(page.items) <= LIMIT
        found += names(page)
        revision = revision or page.metadata.resource_version
        assert page.metadata.resource_version == revision
        token = page.metadata._continue
        left = page.metadata.remaining_item_count
        if not token:
            assert left is None
            break
        assert left == TOTAL - len(found)
    assert found == ALL
    assert names(templates.list_namespaced_pod_template(namespace)) == ALL


def test_a_list_goes_on_after_its_revision_is_gone(
    server: RunningServer, templates: client.CoreV1Api, namespace: str
) -> None:
    """[sig-api-machinery] Servers with support for API chunking should support continue listing from the last key if
    the original version has been compacted away, though the list is inconsistent [Slow] [Conformance]"""
    first = templates.list_namespaced_pod_template(namespace, limit=LIMIT)
    assert first.metadata.remaining_item_count == TOTAL - len(first.items)
    token = first.metadata._continue
    # Nothing of these changes; time goes on all the same.
    templates.create_namespaced_config_map(namespace, {"metadata": {"name": "later"}})
    server.compact()
    with pytest.raises(ApiException) as expired:
        templates.list_namespaced_pod_template(namespace, limit=LIMIT, _continue=token)
    status = json.loads(expired.value.body)
    assert (status["code"], status["reason"]) == (410, "Expired")
    assert "results in an inconsistent list" in status["message"]
    inconsistent = status["metadata"]["continue"]
    assert inconsistent and inconsistent != token
    page = templates.list_namespaced_pod_template(namespace, limit=LIMIT, _continue=inconsistent)
    assert len(page.items) == LIMIT and page.metadata._continue
    assert page.metadata.remaining_item_count == TOTAL - 2 * LIMIT
    assert int(page.metadata.resource_version) > int(first.metadata.resource_version)
    last = templates.list_namespaced_pod_template(namespace, limit=LIMIT, _continue=page.metadata._continue)
    assert last.metadata.resource_version == page.metadata.resource_version and not last.metadata._continue
    assert names(first) + names(page) + names(last) == ALL


def test_chunks_with_selectors(templates: client.CoreV1Api, namespace: str) -> None:
    for number in range(0, TOTAL, 4):
        templates.patch_namespaced_pod_template(
            f"template-{number:04}", namespace, {"metadata": {"labels": {"a": "b"}}}
        )
    found: list[str] = []
    token = ""
    for _ in range(TOTAL):
        page = templates.list_namespaced_pod_template(
            namespace, limit=3, label_selector="a=b", field_selector="metadata.name!=template-0004", _continue=token
        )
        assert page.metadata.remaining_item_count is None
        found += names(page)
        token = page.metadata._continue
        if not token:
            break
    assert found == [name for name in ALL[::4] if name != "template-0004"]


def test_kubectl_lists_in_chunks(server: RunningServer, templates: client.CoreV1Api, namespace: str) -> None:
    listed = server.kubectl("get", "podtemplates", "-n", namespace, "-o", "name", "--chunk-size", "7").stdout.split()
    assert listed == [f"podtemplate/{name}" for name in ALL]
