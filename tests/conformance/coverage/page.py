"""``docs/api-coverage.md``: what of the official client's operations is served, from what the calls were answered."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

from tests.conformance.coverage.calls import UPGRADED, Result, resource_of
from tests.conformance.coverage.operations import Operation
from tiphys.api import facts
from tiphys.api.scheme import RESOURCES

PAGE: Final = Path(__file__).resolve().parents[3] / "docs" / "api-coverage.md"
LEVEL: Final = "v1.36"
UNSTABLE: Final = "alpha and beta versions are off, as upstream's are by default"
NEWER: Final = f"not in {LEVEL}"
MISSING: Final = "missing"
_SERVED_GROUPS: Final = {resource.group for resource in RESOURCES}
_SERVED_VERSIONS: Final = {resource.api_version for resource in RESOURCES}


def gap(operation: Operation) -> str:
    """Why an operation is not served; "" if it is to be."""
    if re.search(r"v\d+(alpha|beta)\d+$", operation.group_version):
        return UNSTABLE
    if not operation.plural:
        return _gap_of_group(operation)
    resource = resource_of(operation)
    if resource is not None:
        known = {subresource.name for subresource in resource.subresources}
        if not operation.subresource or operation.subresource in known:
            return ""
        properties = facts.definitions()[resource.definition].get("properties", {})
        return MISSING if operation.subresource in properties else NEWER
    return MISSING if _defined(operation.group_version, _kind(operation)) else NEWER


def _gap_of_group(operation: Operation) -> str:
    parts = operation.path.strip("/").split("/")
    if parts[0] != "apis" or len(parts) == 1 or parts[1] in _SERVED_GROUPS:
        return ""
    return NEWER if operation.group_version else UNSTABLE


def _kind(operation: Operation) -> str:
    """``LeaseCandidate`` for ``replace_namespaced_lease_candidate_status``."""
    name = operation.name.removesuffix("_for_all_namespaces")
    name = name.removesuffix(f"_{operation.subresource}") if operation.subresource else name
    name = re.sub(r"^(create|delete_collection|delete|list|patch|read|replace)_(namespaced_)?", "", name)
    return "".join(word.capitalize() for word in name.split("_"))


def _defined(group_version: str, kind: str) -> bool:
    group, _, served = group_version.rpartition("/")
    wanted = {"group": group, "version": served, "kind": kind}
    return any(wanted in schema.get("x-kubernetes-group-version-kind", ()) for schema in facts.definitions().values())


def rendered(operations: Sequence[Operation], results: Mapping[Operation, Result]) -> str:
    """The page. results: of the operations that are to be served."""
    counts = Counter(gap(operation) for operation in operations)
    gaps = [f"| {reason} | {count} | {_named(operations, reason)} |" for reason, count in counts.items() if reason]
    head = f"""# What of the API is served

The official Python client (`kubernetes` {version("kubernetes").split(".")[0]}) has {len(operations)} operations for
built-in groups. {counts[""]} of them belong to what {LEVEL} serves; each of these is called through that client against
a running server by `tests/conformance/coverage/`, on an object that is there. *Answer* is the code it got; what was
answered was read by the client's models. The rest, {len(operations) - counts[""]}, is named with the reason.

This page is written by `make coverage-page`, and a test fails when it is not what that would write.

## Not served

| why | operations | which |
|---|---|---|
{chr(10).join(sorted(gaps))}

## Served

- 200, 201: it worked.
- 400 of {", ".join(UPGRADED)}: the client has no stream here and asks for none, so it is told that the connection must
  be upgraded. With streams they are tested in `tests/conformance/node/` and `tests/unit/apiserver_streaming/`.
"""
    return head + "".join(_section(name, found, results) for name, found in _sections(operations))


def _named(operations: Iterable[Operation], reason: str) -> str:
    names: dict[str, None] = {}
    for operation in operations:
        if gap(operation) == reason:
            what = operation.group_version or operation.path.strip("/")
            if reason != UNSTABLE and operation.plural:
                what = f"{what} {operation.plural}" + (f"/{operation.subresource}" if operation.subresource else "")
            if reason != UNSTABLE or operation.group_version:
                names[f"`{what}`"] = None
    return ", ".join(names)


def _sections(operations: Iterable[Operation]) -> list[tuple[str, list[Operation]]]:
    found: dict[str, list[Operation]] = {}
    for operation in operations:
        if not gap(operation):
            about = operation.group_version if operation.group_version in _SERVED_VERSIONS else ""
            found.setdefault(about or "Discovery and the rest", []).append(operation)
    return sorted(found.items(), key=lambda item: (item[0][0].isupper(), "/" in item[0], item[0]))


def _section(name: str, operations: Iterable[Operation], results: Mapping[Operation, Result]) -> str:
    lines = [f"\n### {name}\n", "| operation | request | answer |", "|---|---|---|"]
    for operation in sorted(operations, key=lambda o: (o.plural, o.subresource, o.path, o.name)):
        request = f"{operation.method} {operation.path}"
        lines.append(f"| {operation.name} | `{request}` | {results[operation].code} |")
    return "\n".join(lines) + "\n"
