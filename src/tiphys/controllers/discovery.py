"""What the apiserver serves, asked of it and not assumed: custom resources and aggregated APIs included."""

from __future__ import annotations

import asyncio
from typing import Any

from tiphys.api import codec
from tiphys.api.errors import ApiError
from tiphys.api.scheme import Resource, by_path
from tiphys.client import Client

Version = tuple[str, str]
"""A group and a version of it; the core group is empty."""


class Discovery:
    """The preferred version of every group, and which of them did not answer (`failed`, ``group/version``), those
    among them that another server serves, which is not there (`unavailable`)."""

    def __init__(
        self, found: dict[Version, list[Resource]], failed: list[str], unavailable: frozenset[str] = frozenset()
    ) -> None:
        self.found = found
        self.failed = failed
        self.unavailable = unavailable

    @property
    def resources(self) -> list[Resource]:
        """All resources found."""
        return [resource for resources in self.found.values() for resource in resources]

    def with_verbs(self, *verbs: str) -> list[Resource]:
        """The resources that have all of `verbs`."""
        return [resource for resource in self.resources if all(verb in resource.verbs for verb in verbs)]


async def discover(client: Client, known: Discovery | None = None) -> Discovery:
    """Ask for every group's resources, but for those that are `known`.

    Raises ApiError or OSError if the apiserver itself does not answer.
    """
    versions = [("", "v1")]
    for group in (await _get(client, "/apis")).get("groups") or ():
        preferred = group.get("preferredVersion") or {}
        versions.append((group.get("name", ""), preferred.get("version", "")))
    found = {version: known.found[version] for version in versions if known and version in known.found}
    missing = [version for version in versions if version not in found]
    answers = await asyncio.gather(
        *(_get(client, f"/apis/{group}/{version}" if group else f"/api/{version}") for group, version in missing),
        return_exceptions=True,
    )
    failed: list[str] = []
    unavailable: set[str] = set()
    for (group, version), answer in zip(missing, answers, strict=True):
        if isinstance(answer, dict):
            found[group, version] = _resources(group, version, answer)
        elif isinstance(answer, ApiError | OSError | TimeoutError):
            name = f"{group}/{version}" if group else version
            failed.append(name)
            if group and isinstance(answer, ApiError) and answer.code == 503:
                unavailable.add(name)
        else:
            raise answer
    return Discovery(found, failed, frozenset(unavailable))


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
