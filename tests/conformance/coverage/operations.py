"""Every operation of the official Python client, as the client itself tells: nothing here is typed in by hand."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from kubernetes import client

_SERIALIZE: Final = re.compile(r"_(?P<name>\w+)_serialize")
_RANKS: Final = ("create", "list", "read", "get", "patch", "replace", "log", "connect", "delete", "delete_collection")


class Operation(NamedTuple):
    """One method of one API class. path: the template, as ``/api/v1/namespaces/{namespace}/pods/{name}``."""

    api: str
    name: str
    method: str
    path: str

    @property
    def group_version(self) -> str:
        """``v1``, ``apps/v1``; "" for what belongs to no version."""
        parts = self.path.strip("/").split("/")
        if parts[0] == "api" and len(parts) > 1:
            return parts[1]
        return "/".join(parts[1:3]) if parts[0] == "apis" and len(parts) > 2 else ""

    @property
    def below(self) -> list[str]:
        """What follows the group version, less the namespace: ``["pods", "{name}", "log"]``."""
        depth = 3 if self.path.startswith("/apis/") else 2
        parts = self.path.strip("/").split("/")[depth:]
        return parts[2:] if parts[:2] == ["namespaces", "{namespace}"] else parts

    @property
    def plural(self) -> str:
        return self.below[0] if self.group_version and self.below else ""

    @property
    def subresource(self) -> str:
        return self.below[2] if self.group_version and len(self.below) > 2 else ""

    @property
    def rank(self) -> tuple[bool, int]:
        """Sorts the operations on one kind into an order in which all find what they need."""
        word = next(word for word in reversed(_RANKS) if self.name.startswith(word))
        return bool(self.subresource) and word in ("create", "connect"), _RANKS.index(word)


class _Asked(Exception):
    pass


class _Listening:
    """An ApiClient that tells what it is asked to send."""

    def param_serialize(self, method: str, resource_path: str, **_: Any) -> None:
        raise _Asked(method, resource_path)

    def select_header_accept(self, _: list[str]) -> str:
        return ""

    def select_header_content_type(self, _: list[str]) -> str:
        return ""


def operations() -> list[Operation]:
    """All operations for built-in groups, in the client's order."""
    names = (name for name in client.__all__ if name.endswith("Api") and name != "CustomObjectsApi")
    return [operation for name in names for operation in _of_class(name)]


def _of_class(api: str) -> Iterator[Operation]:
    made = getattr(client, api)(_Listening())
    for attribute, function in inspect.getmembers(type(made), inspect.isfunction):
        match = _SERIALIZE.fullmatch(attribute)
        if match is not None:
            yield Operation(api, match["name"], *_asked(made, function))


def _asked(api: Any, serialize: Callable[..., Any]) -> tuple[str, str]:
    parameters = [name for name in inspect.signature(serialize).parameters if name != "self"]
    try:
        serialize(api, **dict.fromkeys(parameters))
    except _Asked as asked:
        return str(asked.args[0]), str(asked.args[1])
    raise AssertionError(f"{serialize} sends nothing")


def needed_arguments(api: Any, name: str) -> list[str]:
    """The names of the arguments a method cannot do without."""
    parameters = inspect.signature(getattr(api, name)).parameters.values()
    return [p.name for p in parameters if p.default is p.empty and p.name != "self"]
