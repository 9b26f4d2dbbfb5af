"""Which API groups have PodGroups, and the PodGroups, asked once."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

import msgspec

from tiphys.api.errors import ApiError
from tiphys.api.scheme import Resource
from tiphys.client import Client, View
from tiphys.scheduler.gangs.groups import API_GROUPS, PodGroupObject

PLURAL: Final = "podgroups"


async def list_pod_groups(client: Client) -> list[PodGroupObject]:
    """All that are there and may be read, with their kind and version."""
    found: list[PodGroupObject] = []
    for group in API_GROUPS:
        version = await served_version(client, group)
        if not version:
            continue
        resource = Resource(group, version, "PodGroup", PLURAL, True, (), (), (), ("list",))
        try:
            listed = await client.list(View(resource, PodGroupObject))
        except ApiError as error:
            if error.code in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND):
                continue
            raise
        found += (msgspec.structs.replace(o, kind="PodGroup", api_version=f"{group}/{version}") for o in listed.items)
    return found


async def served_version(client: Client, group: str) -> str:
    """The first version of the API group that has PodGroups; "" if none has."""
    for version in (await _ask(client, f"/apis/{group}")).get("versions") or ():
        served = await _ask(client, f"/apis/{group}/{version['version']}")
        if any(resource["name"] == PLURAL for resource in served.get("resources") or ()):
            return str(version["version"])
    return ""


async def _ask(client: Client, target: str) -> dict[str, Any]:
    answer = await client.raw("GET", target)
    found: dict[str, Any] = msgspec.json.decode(answer.body) if answer.status == HTTPStatus.OK else {}
    return found
