"""From a URL path to what it asks for. No regular expressions: a split and a few dict lookups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tiphys.api.scheme import RESOURCES, Resource

_VERB_OF_METHOD: Final = {
    "GET": "get",
    "HEAD": "get",
    "POST": "create",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}


class RequestInfo:
    """What a request is about, as authorization, admission and the registry see it.

    verb: upstream's verb (get, list, watch, create, update, patch, delete, deletecollection), or the lower-case method
    for paths that are no resources. resource: the plural, "" for other paths. rest: what follows ``…/proxy/``.
    target: the served resource, None if the path names none that exists.
    """

    __slots__ = ("group", "name", "namespace", "path", "resource", "rest", "subresource", "target", "verb", "version")

    def __init__(
        self,
        path: str,
        verb: str,
        group: str = "",
        version: str = "",
        resource: str = "",
        namespace: str = "",
        name: str = "",
        subresource: str = "",
        rest: str = "",
        target: Resource | None = None,
    ) -> None:
        self.path = path
        self.verb = verb
        self.group = group
        self.version = version
        self.resource = resource
        self.namespace = namespace
        self.name = name
        self.subresource = subresource
        self.rest = rest
        self.target = target

    @property
    def is_resource(self) -> bool:
        return self.resource != ""

    @property
    def mutating(self) -> bool:
        """True for verbs that may change something."""
        return self.verb not in ("get", "list", "watch")


def is_true(value: str) -> bool:
    """A boolean query parameter of a resource request: whatever does not say "no" is "yes"; "" is not given."""
    return value not in ("", "0") and value.lower() != "false"


class Router:
    """Knows the served resources; more may be added while running (custom resources)."""

    def __init__(self, resources: tuple[Resource, ...] = RESOURCES) -> None:
        self._versions: dict[tuple[str, str], dict[str, Resource]] = {}
        for resource in resources:
            self.add(resource)

    def add(self, resource: Resource) -> None:
        """Serve one more resource."""
        self._versions.setdefault((resource.group, resource.version), {})[resource.plural] = resource

    def remove(self, resource: Resource) -> None:
        """Serve one less; unknown ones are ignored."""
        self._versions.get((resource.group, resource.version), {}).pop(resource.plural, None)

    def parse(self, method: str, path: str, watch: str = "") -> RequestInfo:
        """What `method` on `path` asks for; `watch` is the query's value of that name.

        A path below /api or /apis that has the shape of a resource's is one even if nothing serves it.
        """
        parts = path.split("/")
        if parts[-1] == "":
            parts.pop()
        root = parts[1] if len(parts) > 1 else ""
        if root == "api" and len(parts) > 3:
            group, version, at = "", parts[2], 3
        elif root == "apis" and len(parts) > 4:
            group, version, at = parts[2], parts[3], 4
        else:
            return RequestInfo(path, method.lower())
        if parts[at] == "watch" and len(parts) > at + 1:
            info = self._resource(method, path, group, version, parts, at + 1, "")
            info.verb = "watch"
            return info
        return self._resource(method, path, group, version, parts, at, watch)

    def _resource(
        self, method: str, path: str, group: str, version: str, parts: list[str], at: int, watch: str
    ) -> RequestInfo:
        namespace = ""
        count = len(parts)
        if parts[at] == "namespaces" and count > at + 1:
            namespace = parts[at + 1]
            if count > at + 2 and not (group == "" and parts[at + 2] in ("status", "finalize")):
                at += 2
        resource = parts[at]
        name = parts[at + 1] if count > at + 1 else ""
        subresource = parts[at + 2] if count > at + 2 else ""
        rest = ""
        if count > at + 3:
            rest = "/".join(path.split("/")[at + 3 :])
            if subresource != "proxy":
                subresource = "/".join(parts[at + 2 :])
        target = self._target(group, version, resource, namespace)
        verb = _verb(method, name, watch)
        return RequestInfo(path, verb, group, version, resource, namespace, name, subresource, rest, target)

    def _target(self, group: str, version: str, plural: str, namespace: str) -> Resource | None:
        known: Mapping[str, Resource] = self._versions.get((group, version), {})
        target = known.get(plural)
        if target is None or (namespace and not target.namespaced and plural != "namespaces"):
            return None
        return target


def _verb(method: str, name: str, watch: str) -> str:
    verb = _VERB_OF_METHOD.get(method, method.lower())
    if verb == "get" and is_true(watch):
        return "watch"
    if not name:
        return {"get": "list", "delete": "deletecollection"}.get(verb, verb)
    return verb
