"""Bodies made to exhaust who reads them are refused before anyone does."""

from __future__ import annotations

import pytest

from tests.unit.apiserver.harness import Api, config_map
from tiphys.api.errors import ApiError
from tiphys.apiserver.registry import nesting

CMS = "/api/v1/namespaces/default/configmaps"
LAUGHS = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
)


def deep(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


@pytest.mark.parametrize("levels", [nesting.MAX_DEPTH + 1, 100_000])
@pytest.mark.parametrize(
    "kind", ["json-patch+json", "merge-patch+json", "strategic-merge-patch+json", "apply-patch+yaml"]
)
async def test_deep_patches_are_refused(api: Api, kind: str, levels: int) -> None:
    await api.create(CMS, config_map("a"))
    answer = await api.call("PATCH", f"{CMS}/a?fieldManager=m", deep(levels), f"application/{kind}")
    assert (answer.status, answer.body["message"]) == (400, "json: exceeded max depth")


async def test_deep_bodies_are_refused(api: Api) -> None:
    assert (await api.call("POST", CMS, deep(100_000))).status == 400
    yaml = b"a: " + b"[" * 100_000 + b"]" * 100_000
    assert (await api.call("POST", CMS, yaml, "application/yaml")).status == 400
    assert (await api.call("PATCH", f"{CMS}/a?fieldManager=m", yaml, "application/apply-patch+yaml")).status == 400


async def test_a_patch_cannot_copy_a_document_into_itself_for_ever(api: Api) -> None:
    await api.create(CMS, config_map("a"))
    copies = [{"op": "copy", "from": "/metadata", "path": f"/metadata/x{n}"} for n in range(60)]
    answer = await api.call("PATCH", f"{CMS}/a", copies, "application/json-patch+json")
    assert answer.status == 422


@pytest.mark.parametrize("body", [LAUGHS, "&a {b: *a}", "a: &a [*a]"])
def test_aliases_do_not_multiply(body: str) -> None:
    with pytest.raises(ApiError, match=r"alias|contains itself"):
        nesting.check_yaml(body.encode())


def test_what_is_common_passes() -> None:
    nesting.check_json(b'{"a":["}{", "\\"[", {}]}' + b" " * 10)
    nesting.check_json(b"[" + b'{"[[":[]},' * 1000 + b"1]")
    nesting.check_json(deep(nesting.MAX_DEPTH))
    nesting.check_yaml(b"a: &a {b: 1}\nc: *a\nd: {<<: *a}\n---\ne: 1\n")


@pytest.mark.parametrize("body", [b'{"kind":"\\ud800"}', b'{"a":1e999}', b'{"a":%s}' % (b"9" * 10_000)])
@pytest.mark.parametrize("kind", ["json-patch+json", "merge-patch+json", "apply-patch+yaml"])
async def test_values_nobody_can_read_are_the_callers_fault(api: Api, kind: str, body: bytes) -> None:
    await api.create(CMS, config_map("a"))
    assert (await api.call("PATCH", f"{CMS}/a?fieldManager=m", body, f"application/{kind}")).status < 500
    assert (await api.call("POST", CMS, body)).status < 500
    assert (await api.call("DELETE", f"{CMS}/b", body)).status < 500


@pytest.mark.parametrize("body", [{"metadata": 5}, {"apiVersion": 5}, {"kind": [1]}])
async def test_applied_objects_have_their_shape(api: Api, body: object) -> None:
    answer = await api.call("PATCH", f"{CMS}/a?fieldManager=m", body, "application/apply-patch+yaml")
    assert answer.status == 400


async def test_removing_the_whole_document_does_not_apply(api: Api) -> None:
    await api.create(CMS, config_map("a"))
    remove = [{"op": "remove", "path": ""}]
    assert (await api.call("PATCH", f"{CMS}/a", remove, "application/json-patch+json")).status == 422
