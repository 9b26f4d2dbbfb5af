"""What the apiserver serves, asked of it and not assumed: custom resources and aggregated APIs included."""

from __future__ import annotations

import asyncio
from typing import Any

from tiphys.api import codec
from tiphys.api.errors import ApiError
from tiphys.api.scheme import Resource, by_path
from tiphys.client import Client


class Discovery:
    """The preferred version of every resource; `failed` are the groups that did not answer (``group/version``)."""

    def __init__(self, resources: list[Resource], failed: list[str]) -> None:
        self.resources = resources
        self.failed = failed

    def with_verbs(self, *verbs: str) -> list[Resource]:
        """The resources that have all of `verbs`."""
        return [resource for resource in self.resources if all(verb in resource.verbs for verb in verbs)]


async def discover(client: Client) -> Discovery:
    """Ask for every group's resources. Raises ApiError or OSError if the apiserver itself does not answer."""
    groups = await _get(client, "/apis")
    versions = [("", "v1")]
    for group in groups.get("groups") or ():
        preferred = group.get("preferredVersion") or {}
        versions.append((group.get("name", ""), preferred.get("version", "")))
    answers = await asyncio.gather(
        *(_get(client, f"/apis/{group}/{version}" if group else f"/api/{version}") for group, version in versions),
        return_exceptions=True,
    )
    resources: list[Resource] = []
    failed: list[str] = []
    for (group, version), answer in zip(versions, answers, strict=True):
        if isinstance(answer, dict):
            resources += _resources(group, version, answer)
        elif isinstance(answer, ApiError | OSError | TimeoutError):
            failed.append(f"{group}/{version}" if group else version)
        else:
            raise answer
    return Discovery(resources, failed)


def _resources(group: str, version: str, document: dict[str, Any]) -> list[Resource]:
    found = []
    for entry in document.get("resources") or ():
        name = entry.get("name", "")
        if "/" in name:
            continue
        known = by_path(group, version, name)
        found.append(
            known
            or Resource(
                group=group,
                version=version,
                kind=entry.get("kind", ""),
                plural=name,
                namespaced=bool(entry.get("namespaced")),
                short_names=(),
                categories=(),
                subresources=(),
                verbs=tuple(entry.get("verbs") or ()),
            )
        )
    return found


async def _get(client: Client, path: str) -> dict[str, Any]:
    answer = await client.raw("GET", path)
    if answer.status >= 300:
        raise ApiError.from_body(answer.status, answer.body)
    document = codec.decode_any(answer.body)
    return document if isinstance(document, dict) else {}
