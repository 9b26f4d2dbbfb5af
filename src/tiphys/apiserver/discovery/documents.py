"""The documents of discovery, as plain data."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from tiphys.api.scheme import Resource, Subresource

Document = dict[str, Any]
#: Group to its versions, preferred first; groups in the order clients should prefer them.
Groups = Mapping[str, Mapping[str, Sequence[Resource]]]


class RemoteVersion(NamedTuple):
    """A group and version that another server serves. `resources` are the entries of its APIResourceList, as far as
    they are known; it is not `current` while that server does not answer."""

    group: str
    version: str
    resources: tuple[Document, ...]
    current: bool


def by_group(resources: Iterable[Resource]) -> dict[str, dict[str, list[Resource]]]:
    """Resources as group, version, list; everything in the order it came in."""
    groups: dict[str, dict[str, list[Resource]]] = {}
    for resource in resources:
        groups.setdefault(resource.group, {}).setdefault(resource.version, []).append(resource)
    return groups


def api_versions(server_address: str) -> Document:
    """``/api``."""
    addresses = [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}]
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": addresses}


def versions_by_group(groups: Groups, remote: Sequence[RemoteVersion]) -> dict[str, list[str]]:
    """All groups' versions, those of other servers after our own."""
    found = {name: list(versions) for name, versions in groups.items()}
    for one in remote:
        versions = found.setdefault(one.group, [])
        if one.version not in versions:
            versions.append(one.version)
    return found


def group_list(groups: Mapping[str, list[str]]) -> Document:
    """``/apis``."""
    listed = [_group(name, versions) for name, versions in groups.items() if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}


def api_group(name: str, versions: Iterable[str]) -> Document:
    """``/apis/<group>``."""
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, list(versions))}


def _group(name: str, versions: list[str]) -> Document:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def resource_list(group: str, version: str, resources: Iterable[Resource]) -> Document:
    """``/api/v1`` and ``/apis/<group>/<version>``."""
    entries: list[Document] = []
    for resource in resources:
        entries.append(_resource(resource))
        entries.extend(_subresource(resource, subresource) for subresource in resource.subresources)
    entries.sort(key=lambda entry: str(entry["name"]))
    head = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{group}/{version}"}
    if not group:
        head = {"kind": "APIResourceList", "groupVersion": version}
    return {**head, "resources": entries}


def _resource(resource: Resource) -> Document:
    entry: Document = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if "list" in resource.verbs and resource.kind != "ComponentStatus":
        entry["storageVersionHash"] = _storage_hash(resource)
    return entry


def _subresource(resource: Resource, subresource: Subresource) -> Document:
    entry: Document = {
        "name": f"{resource.plural}/{subresource.name}",
        "singularName": "",
        "namespaced": resource.namespaced,
        "kind": subresource.kind,
        "verbs": list(subresource.verbs),
    }
    if subresource.version:
        entry |= {"group": subresource.group, "version": subresource.version}
    return entry


def _storage_hash(resource: Resource) -> str:
    """Tells clients whether the stored version changed."""
    kind = f"{resource.group}/{resource.version}/{resource.kind}"
    return base64.b64encode(hashlib.sha256(kind.encode()).digest()[:8]).decode()


def aggregated(groups: Groups, version: str, remote: Sequence[RemoteVersion] = ()) -> Document:
    """Everything about `groups` in one document; `version` of apidiscovery.k8s.io."""
    items: dict[str, list[Document]] = {
        name: [
            {
                "version": served,
                "resources": [_discovered(resource) for resource in sorted(resources, key=_plural)],
                "freshness": "Current",
            }
            for served, resources in versions.items()
        ]
        for name, versions in groups.items()
    }
    for one in remote:
        items.setdefault(one.group, []).append(
            {
                "version": one.version,
                "resources": _discovered_remotely(one),
                "freshness": "Current" if one.current else "Stale",
            }
        )
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": [
            {
                "metadata": {"name": name, "creationTimestamp": None} if name else {"creationTimestamp": None},
                "versions": versions,
            }
            for name, versions in items.items()
        ],
    }


def _discovered_remotely(remote: RemoteVersion) -> list[Document]:
    """The entries of an APIResourceList in the aggregated form."""
    found: dict[str, Document] = {}
    for entry in sorted(remote.resources, key=lambda entry: str(entry.get("name", ""))):
        plural, _, subresource = str(entry.get("name", "")).partition("/")
        group, version = entry.get("group") or remote.group, entry.get("version") or remote.version
        common = {
            "responseKind": _kind(group, version, str(entry.get("kind", ""))),
            "verbs": list(entry.get("verbs") or ()),
        }
        if subresource:
            if plural in found:
                found[plural].setdefault("subresources", []).append({"subresource": subresource, **common})
            continue
        found[plural] = {
            "resource": plural,
            **common,
            "scope": "Namespaced" if entry.get("namespaced") else "Cluster",
            "singularResource": entry.get("singularName") or "",
        }
        found[plural] |= {name: list(entry[name]) for name in ("shortNames", "categories") if entry.get(name)}
    return list(found.values())


def _plural(resource: Resource) -> str:
    return resource.plural


def _discovered(resource: Resource) -> Document:
    entry: Document = {
        "resource": resource.plural,
        "responseKind": _kind(resource.group, resource.version, resource.kind),
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if resource.subresources:
        entry["subresources"] = [
            {
                "subresource": sub.name,
                "responseKind": _kind(
                    *((sub.group, sub.version) if sub.version else (resource.group, resource.version)), sub.kind
                ),
                "verbs": list(sub.verbs),
            }
            for sub in resource.subresources
        ]
    return entry


def _kind(group: str, version: str, kind: str) -> Document:
    return {"group": group, "version": version, "kind": kind}
