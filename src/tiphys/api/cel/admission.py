"""What expressions of admission may speak of: policies, match conditions; and those that choose devices."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final

from tiphys.api import cel
from tiphys.api.cel.declarations import BOOL, DYN, INT, STRING, TIMESTAMP, Declared, list_of, map_of, object_of
from tiphys.api.cel.type_names import AUTHORIZER, PATCH, QUANTITY, RESOURCE_CHECK

_KIND: Final = object_of(group=STRING, version=STRING, kind=STRING)
_RESOURCE: Final = object_of(group=STRING, version=STRING, resource=STRING)
_USER: Final = object_of(username=STRING, uid=STRING, groups=list_of(STRING), extra=map_of(list_of(STRING)))
REQUEST: Final = object_of(
    kind=_KIND,
    resource=_RESOURCE,
    subResource=STRING,
    requestKind=_KIND,
    requestResource=_RESOURCE,
    requestSubResource=STRING,
    name=STRING,
    namespace=STRING,
    operation=STRING,
    userInfo=_USER,
    dryRun=BOOL,
    options=DYN,
)
"""The type of `request`: an AdmissionRequest without its objects."""

_CONDITION: Final = object_of(status=STRING, type=STRING, lastTransitionTime=TIMESTAMP, message=STRING, reason=STRING)
NAMESPACE: Final = object_of(
    metadata=object_of(
        name=STRING,
        generateName=STRING,
        namespace=STRING,
        labels=map_of(STRING),
        annotations=map_of(STRING),
        UID=STRING,
        creationTimestamp=TIMESTAMP,
        deletionGracePeriodSeconds=INT,
        deletionTimestamp=TIMESTAMP,
        generation=INT,
        resourceVersion=STRING,
        finalizers=list_of(STRING),
    ),
    spec=object_of(finalizers=list_of(STRING)),
    status=object_of(conditions=list_of(_CONDITION), phase=STRING),
)
"""The type of `namespaceObject`."""

DEVICE: Final = object_of(
    driver=STRING,
    attributes=map_of(map_of(DYN)),
    capacity=map_of(map_of(Declared("message", name=QUANTITY))),
    allowMultipleAllocations=BOOL,
)
"""The type of `device` in selectors of devices."""

_BASE: Final = {"object": DYN, "oldObject": DYN, "namespaceObject": NAMESPACE, "request": REQUEST}
_AUTHORIZERS: Final = {
    "authorizer": Declared("message", name=AUTHORIZER),
    "authorizer.requestResource": Declared("message", name=RESOURCE_CHECK),
}
_PLAIN: Final = {
    **{kind: Declared(kind) for kind in ("bool", "int", "uint", "double", "string", "bytes")},
    "google.protobuf.Timestamp": TIMESTAMP,
    "google.protobuf.Duration": Declared("duration"),
}
PATCHES: Final = f"list({PATCH})"
"""What expressions that patch evaluate to."""


@cache
def _plain(has_params: bool, has_authorizer: bool) -> cel.Environment:
    return cel.Environment(_variables(has_params, has_authorizer))


def _variables(has_params: bool, has_authorizer: bool) -> dict[str, Declared]:
    made = dict(_BASE)
    if has_params:
        made["params"] = DYN
    if has_authorizer:
        made |= _AUTHORIZERS
    return made


def admission(
    *, has_params: bool, has_authorizer: bool = True, variables: Mapping[str, Declared] | None = None
) -> cel.Environment:
    """The environment of a policy or match condition; `variables`: the policy's own, by name, None if it has none."""
    if variables is None:
        return _plain(has_params, has_authorizer)
    return cel.Environment({**_variables(has_params, has_authorizer), "variables": object_of(**variables)})


@cache
def devices() -> cel.Environment:
    """The environment of selectors of devices."""
    return cel.Environment({"device": DEVICE})


def declared_as(result: str) -> Declared:
    """The type of a policy's variable, from its program's; what cannot be said is looked at when it is run."""
    if result.startswith("list(") and result.endswith(")"):
        return list_of(declared_as(result[5:-1]))
    if result.startswith("map(string, ") and result.endswith(")"):
        return map_of(declared_as(result[12:-1]))
    return _PLAIN.get(result, DYN)
