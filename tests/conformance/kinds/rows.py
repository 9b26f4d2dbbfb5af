"""Tables of requests and what upstream answers: what of an object is refused, on creation and as an update.

A change is a dict of paths: ``{"spec.containers[0].image": "", "spec.nodeName": ...}`` sets the one and takes the other
away. A cause is written as messages have it, ``spec.containers[0].image: Required value``.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from tests.conformance.api.running import Answer, RunningServer
from tests.conformance.kinds.bodies import BODIES
from tiphys.api.field_errors import quote
from tiphys.api.scheme import Resource, by_gvk

_REASONS: Final = {
    "Duplicate value": "FieldValueDuplicate",
    "Forbidden": "FieldValueForbidden",
    "Invalid value": "FieldValueInvalid",
    "Not found": "FieldValueNotFound",
    "Required value": "FieldValueRequired",
    "Too long": "FieldValueTooLong",
    "Too many": "FieldValueTooMany",
    "Unsupported value": "FieldValueNotSupported",
}
_find_steps: Final = re.compile(r"([^.\[\]]+)|\[(\d+)\]").findall
Change = Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """One object of `kind` (``apps/v1/Deployment``), changed, and what is wrong with it; nothing if `causes` is empty.

    old: changes of the object that is there before; then the row is an update.
    part: the subresource the update goes to.
    """

    kind: str
    change: Change
    causes: tuple[str, ...] = ()
    old: Change | None = None
    part: str = ""
    starts: bool = False
    """Whether the causes are only how the real ones begin."""
    name: str = field(default="x")


def bad(kind: str, change: Change, *causes: str, **options: Any) -> Row:
    """A new object that is refused."""
    return Row(kind, change, causes, **options)


def good(kind: str, change: Change) -> Row:
    """A new object that is taken."""
    return Row(kind, change)


def update(kind: str, old: Change, change: Change, *causes: str, **options: Any) -> Row:
    """An object that replaces one; `change` comes on top of `old`."""
    return Row(kind, change, causes, old=old, **options)


def changed(obj: dict[str, Any], change: Change) -> dict[str, Any]:
    """A copy of `obj` with the change."""
    made = copy.deepcopy(obj)
    for path, value in change.items():
        _set(made, path, copy.deepcopy(value))
    return made


def _set(obj: Any, path: str, value: Any) -> None:
    steps: list[Any] = [int(index) if index else key.replace("~", ".") for key, index in _find_steps(path)]
    for position, step in enumerate(steps[:-1]):
        default: Any = [] if isinstance(steps[position + 1], int) else {}
        if isinstance(step, int):
            if step == len(obj):
                obj.append(default)
            obj = obj[step]
        else:
            obj = obj.setdefault(step, default)
    last = steps[-1]
    if value is ...:
        del obj[last]
    elif isinstance(last, int) and last == len(obj):
        obj.append(value)
    else:
        obj[last] = value


def resource_of(kind: str) -> Resource:
    """The resource of ``apps/v1/Deployment``."""
    group_version, _, name = kind.rpartition("/")
    group, _, version = group_version.rpartition("/")
    found = by_gvk(group, version, name)
    assert found is not None, kind
    return found


def run(server: RunningServer, namespace: str, row: Row) -> None:
    """Send the row's request, and hold the answer against what it says."""
    resource = resource_of(row.kind)
    root = f"/apis/{resource.api_version}" if resource.group else f"/api/{resource.version}"
    space = f"/namespaces/{namespace}" if resource.namespaced else ""
    path = f"{root}{space}/{resource.plural}"
    base = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": row.name}}
    body = BODIES[row.kind]
    base.update(copy.deepcopy(body.manifest))
    if body.prepare is not None:
        body.prepare(base, row.name, namespace)
    if row.old is None:
        answer = server.raw("POST", f"{path}?dryRun=All", changed(base, row.change))
        check(answer, row, resource, 201)
        return
    made = server.raw("POST", path, changed(base, row.old))
    assert made.status == 201, made.body
    try:
        tail = f"/{row.part}" if row.part else ""
        answer = server.raw("PUT", f"{path}/{row.name}{tail}", changed(made.json, row.change))
        check(answer, row, resource, 200)
    finally:
        server.raw("PATCH", f"{path}/{row.name}", {"metadata": {"finalizers": None}}, _MERGE)
        server.raw("DELETE", f"{path}/{row.name}?propagationPolicy=Background&gracePeriodSeconds=0")


_MERGE: Final = {"Content-Type": "application/merge-patch+json"}


def check(answer: Answer, row: Row, resource: Resource, success: int) -> None:
    """The answer is the success, or says what the row says, and all of it."""
    if not row.causes:
        assert answer.status == success, answer.message
        return
    assert answer.status == 422, answer.body
    assert answer.reason == "Invalid"
    causes = answer.json["details"]["causes"]
    found = [f"{cause['field']}: {cause['message']}" for cause in causes]
    if row.starts:
        assert len(found) == len(row.causes), found
        assert all(text.startswith(start) for text, start in zip(found, row.causes, strict=True)), found
        return
    assert found == list(row.causes)
    assert [cause["reason"] for cause in causes] == [reason(cause) for cause in row.causes]
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    told = list(dict.fromkeys(row.causes))
    listed = told[0] if len(told) == 1 else f"[{', '.join(told)}]"
    named = answer.json["details"].get("name", "")
    assert answer.message == f"{kind} {quote(named)} is invalid: {listed}"


def params(rows: Sequence[Row]) -> list[Any]:
    """The rows as a test's parameters, named by what they change."""
    return [
        pytest.param(row, id=f"{number}-{row.kind.rpartition('/')[2]}-{next(iter(row.change), 'nothing')}")
        for number, row in enumerate(rows)
    ]


def reason(cause: str) -> str:
    """The reason of a cause, by how its message begins."""
    message = re.sub(r"^.*?: (?=(?:" + "|".join(_REASONS) + r")(?::|$))", "", cause, count=1)
    return _REASONS[message.partition(":")[0]]
