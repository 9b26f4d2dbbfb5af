"""What can be done at which path, independent of the OpenAPI version that describes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from tiphys.api.scheme import RESOURCES, Resource, Subresource
from tiphys.apiserver.registry.deleting import ANSWERED_WITH_OBJECT

META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1"
STATUS: Final = f"{META}.Status"
DELETE_OPTIONS: Final = f"{META}.DeleteOptions"
PATCH: Final = f"{META}.Patch"

PATCH_TYPES: Final = (
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)
_BUILT_IN_GROUPS: Final = frozenset(resource.group for resource in RESOURCES)
MEDIA_TYPES: Final = ("application/json", "application/yaml")
STREAM_TYPES: Final = ("application/json;stream=watch",)

#: Query parameters by name: type and what they do.
PARAMETERS: Final = {
    "allowWatchBookmarks": ("boolean", "Ask for BOOKMARK events in a watch."),
    "command": ("string", "The command to run, one parameter a word."),
    "container": ("string", "The container; by default the pod's only or first one."),
    "continue": ("string", "Continue a list where the answer with this token ended."),
    "dryRun": ("string", "With All nothing is stored."),
    "fieldManager": ("string", "Who owns the fields this request changes."),
    "fieldSelector": ("string", "Restrict the answer to objects with these field values."),
    "fieldValidation": ("string", "What unknown and repeated fields lead to: Ignore, Warn or Strict."),
    "follow": ("boolean", "Keep sending what is logged from now on."),
    "force": ("boolean", "Take fields from other managers when applying."),
    "gracePeriodSeconds": ("integer", "How long the object may take to end."),
    "ignoreStoreReadErrorWithClusterBreakingPotential": ("boolean", "Delete even what cannot be read."),
    "labelSelector": ("string", "Restrict the answer to objects with these labels."),
    "limit": ("integer", "At most so many items."),
    "limitBytes": ("integer", "At most so many bytes."),
    "orphanDependents": ("boolean", "Deprecated: leave dependents behind."),
    "path": ("string", "The path to ask for."),
    "ports": ("integer", "The ports to forward."),
    "pretty": ("string", "Format the answer for reading."),
    "previous": ("boolean", "The logs of the container before its last restart."),
    "propagationPolicy": ("string", "What happens to dependents: Orphan, Background or Foreground."),
    "resourceVersion": ("string", "How fresh the answer must be."),
    "resourceVersionMatch": ("string", "How resourceVersion is meant."),
    "sendInitialEvents": ("boolean", "Begin a watch with what there is."),
    "sinceSeconds": ("integer", "Only what was logged in the last so many seconds."),
    "stderr": ("boolean", "Attach to standard error."),
    "stdin": ("boolean", "Attach to standard input."),
    "stdout": ("boolean", "Attach to standard output."),
    "stream": ("string", "Which of the streams: All, Stdout or Stderr."),
    "tailLines": ("integer", "Only the last so many lines."),
    "timeoutSeconds": ("integer", "End the call after so many seconds."),
    "timestamps": ("boolean", "Begin each line with its time."),
    "tty": ("boolean", "Give the process a terminal."),
    "watch": ("boolean", "Stream changes instead of answering once."),
}
_LIST: Final = (
    *("allowWatchBookmarks", "continue", "fieldSelector", "labelSelector", "limit", "resourceVersion"),
    *("resourceVersionMatch", "sendInitialEvents", "timeoutSeconds", "watch"),
)
_DELETE: Final = (
    *("dryRun", "gracePeriodSeconds", "ignoreStoreReadErrorWithClusterBreakingPotential"),
    *("orphanDependents", "propagationPolicy"),
)
_WRITE: Final = ("dryRun", "fieldManager", "fieldValidation")
_STREAM_PARAMETERS: Final = {
    "attach": ("container", "stderr", "stdin", "stdout", "tty"),
    "exec": ("command", "container", "stderr", "stdin", "stdout", "tty"),
    "log": ("container", "follow", "limitBytes", "previous", "sinceSeconds", "stream", "tailLines", "timestamps"),
    "portforward": ("ports",),
    "proxy": ("path",),
}
# What is proxied may be asked in any way; no verb of a resource stands for these two.
_PROXIED_TOO: Final = ("head", "options")
_METHODS: Final = {"get": "get", "create": "post", "update": "put", "patch": "patch", "delete": "delete"}
_ACTION_OF_METHOD: Final = {"get": "get", "post": "post", "put": "put", "patch": "patch", "delete": "delete"}
_WORD_OF_METHOD: Final = {"get": "read", "post": "create", "put": "replace", "patch": "patch", "delete": "delete"}


class Operation(NamedTuple):
    """One method of one path. body, answer: names of definitions, "" for none (an answer without one is text)."""

    path: str
    method: str
    action: str
    operation_id: str
    kind: dict[str, str]
    parameters: tuple[str, ...]
    body: str
    answer: str
    creates: bool
    tag: str


def consumed(operation: Operation) -> tuple[str, ...]:
    """The media types of a body. Custom resources know no strategic patch, and kubectl looks here for that."""
    if operation.method != "patch":
        return ("*/*",)
    root, _, rest = operation.path.lstrip("/").partition("/")
    built_in = root != "apis" or rest.partition("/")[0] in _BUILT_IN_GROUPS
    return PATCH_TYPES if built_in else PATCH_TYPES[:-1]


def of_resource(resource: Resource) -> Iterator[Operation]:
    """Every operation on a resource and its subresources."""
    builder = _Builder(resource)
    yield from builder.collection()
    yield from builder.item()
    for subresource in resource.subresources:
        yield from builder.below(subresource)


class _Builder:
    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        group = resource.group.split(".", 1)[0] or "core"
        camel = "".join(part[:1].upper() + part[1:] for part in resource.group.removesuffix(".k8s.io").split("."))
        self._name = f"{camel or 'Core'}{resource.version[:1].upper()}{resource.version[1:]}"
        self._tag = f"{group}_{resource.version}"
        self._scope = "Namespaced" if resource.namespaced else ""
        root = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
        self._all = f"{root}/{resource.plural}"
        self._base = f"{root}/namespaces/{{namespace}}/{resource.plural}" if resource.namespaced else self._all
        self._kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
        self._list = f"{resource.definition}List"

    def _make(
        self, path: str, method: str, action: str, word: str, parameters: Iterable[str], **more: Any
    ) -> Operation:
        settings = {"kind": self._kind, "body": "", "answer": self._resource.definition, "creates": False} | more
        return Operation(
            path,
            method,
            action,
            word,
            parameters=("pretty", *parameters),
            tag=self._tag,
            **settings,  # type: ignore[arg-type]
        )

    def _id(self, word: str, suffix: str = "", scope: str | None = None) -> str:
        return f"{word}{self._name}{self._scope if scope is None else scope}{self._resource.kind}{suffix}"

    def collection(self) -> Iterator[Operation]:
        resource, verbs = self._resource, self._resource.verbs
        if "list" in verbs:
            yield self._make(self._base, "get", "list", self._id("list"), _LIST, answer=self._list)
            if resource.namespaced:
                word = self._id("list", "ForAllNamespaces", "")
                yield self._make(self._all, "get", "list", word, _LIST, answer=self._list)
        if "create" in verbs:
            body = resource.definition
            yield self._make(self._base, "post", "post", self._id("create"), _WRITE, body=body, creates=True)
        if "deletecollection" in verbs:
            word = self._id("delete", "", f"Collection{self._scope}")
            parameters = (*_DELETE, *(name for name in _LIST if name not in ("allowWatchBookmarks", "watch")))
            yield self._make(
                self._base, "delete", "deletecollection", word, parameters, body=DELETE_OPTIONS, answer=STATUS
            )

    def item(self) -> Iterator[Operation]:
        resource, path = self._resource, f"{self._base}/{{name}}"
        if "get" in resource.verbs:
            yield self._make(path, "get", "get", self._id("read"), ())
        if "update" in resource.verbs:
            yield self._make(path, "put", "put", self._id("replace"), _WRITE, body=resource.definition, creates=True)
        if "patch" in resource.verbs:
            parameters = (*_WRITE, "force")
            yield self._make(path, "patch", "patch", self._id("patch"), parameters, body=PATCH, creates=True)
        if "delete" in resource.verbs:
            whole = (resource.group, resource.plural) in ANSWERED_WITH_OBJECT
            answer = resource.definition if whole else STATUS
            yield self._make(path, "delete", "delete", self._id("delete"), _DELETE, body=DELETE_OPTIONS, answer=answer)

    def _proxied(self, path: str, kind: dict[str, str], subresource: Subresource) -> Iterator[Operation]:
        for method in (*(_METHODS[verb] for verb in subresource.verbs), *_PROXIED_TOO):
            for end, tail in (("", ""), ("WithPath", "/{path}")):
                word = self._id("connect", f"Proxy{end}").replace("connect", f"connect{method.capitalize()}", 1)
                yield self._make(
                    path + tail, method, "connect", word, _STREAM_PARAMETERS["proxy"], kind=kind, answer=""
                )

    def below(self, subresource: Subresource) -> Iterator[Operation]:
        resource, name = self._resource, subresource.name
        path = f"{self._base}/{{name}}/{name}"
        kind = dict(self._kind) | {"kind": subresource.kind}
        definition = resource.definition.rpartition(".")[0] + f".{subresource.kind}"
        if subresource.version:
            kind |= {"group": subresource.group, "version": subresource.version}
            definition = f"io.k8s.api.{subresource.group.split('.', 1)[0]}.{subresource.version}.{subresource.kind}"
        suffix = name[:1].upper() + name[1:]
        if name == "proxy":
            yield from self._proxied(path, kind, subresource)
            return
        streams = _STREAM_PARAMETERS.get(name)
        for verb in subresource.verbs:
            method = _METHODS[verb]
            word = self._id("connect" if streams and name != "log" else _WORD_OF_METHOD[method], suffix)
            if streams is not None:
                action = "get" if name == "log" else "connect"
                unique = word if name == "log" else word.replace("connect", f"connect{verb.capitalize()}", 1)
                yield self._make(path, method, action, unique, streams, kind=kind, answer="")
                continue
            parameters: tuple[str, ...] = () if verb == "get" else _WRITE
            body = "" if verb == "get" else definition
            if verb == "patch":
                parameters, body = (*_WRITE, "force"), PATCH
            yield self._make(
                path,
                method,
                _ACTION_OF_METHOD[method],
                word,
                parameters,
                kind=kind,
                body=body,
                answer=definition,
                creates=verb != "get",
            )


def media_types(operation: Operation) -> tuple[str, ...]:
    """What the answer may come in."""
    return (*MEDIA_TYPES, *STREAM_TYPES) if operation.action == "list" else MEDIA_TYPES


def path_parameters(path: str) -> list[tuple[str, str]]:
    """The path's parameters and what they are."""
    known = (
        ("{name}", "name", "The object's name."),
        ("{namespace}", "namespace", "The object's namespace."),
        ("{path}", "path", "The path to ask for."),
        ("{logpath}", "logpath", "The file's path in the log directory."),
    )
    return [(name, text) for mark, name, text in known if mark in path]


def codes(operation: Operation) -> tuple[str, ...]:
    """The status codes of success."""
    if operation.action == "delete":
        return ("200", "202")
    if operation.action == "post":
        return ("200", "201", "202")
    return ("200", "201") if operation.creates else ("200",)
