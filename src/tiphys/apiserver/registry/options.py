"""The options of requests: query parameters read, checked and refused in upstream's words."""

from __future__ import annotations

from typing import Final

import msgspec

from tiphys.api import errors, field_errors
from tiphys.api.field_errors import FieldError
from tiphys.api.types.meta_v1 import DeleteOptions, Preconditions
from tiphys.apiserver.registry.bodies import parse_body
from tiphys.base.http.messages import Query, Request

_FIELD_VALIDATIONS: Final = ("", "Ignore", "Strict", "Warn")
_PROPAGATION_POLICIES: Final = ("Foreground", "Background", "Orphan")
_MAX_FIELD_MANAGER_BYTES: Final = 128
_META_GROUP: Final = "meta.k8s.io"


class WriteOptions(msgspec.Struct, frozen=True):
    """What may be asked of a create, update or patch.

    field_validation: Ignore, Warn or Strict. force: only server-side apply knows it (None: not given).
    """

    dry_run: bool = False
    field_manager: str = ""
    field_validation: str = "Warn"
    force: bool | None = None
    named_manager: bool = False


_DEFAULT_MANAGERS: dict[bytes, WriteOptions] = {}


def write_options(request: Request, kind: str) -> WriteOptions:
    """The options of a writing request; `kind` is CreateOptions, UpdateOptions or PatchOptions. Raises ApiError."""
    query = request.query
    if not query.raw:
        agent = request.headers.get(b"user-agent")
        known = _DEFAULT_MANAGERS.get(agent)
        if known is None:
            if len(_DEFAULT_MANAGERS) > 1024:
                _DEFAULT_MANAGERS.clear()
            known = _DEFAULT_MANAGERS[agent] = WriteOptions(field_manager=_manager_of_agent(agent))
        return known
    dry_run = query.get_all("dryRun")
    validation = query.get("fieldValidation")
    manager = query.get("fieldManager")
    wrong = [*_dry_run_errors(dry_run), *_manager_errors(manager)]
    if validation not in _FIELD_VALIDATIONS:
        wrong.append(field_errors.not_supported("fieldValidation", validation, _FIELD_VALIDATIONS))
    if wrong:
        raise errors.invalid(f"{kind}.{_META_GROUP}", "", wrong)
    return WriteOptions(
        dry_run=bool(dry_run),
        field_manager=manager or _manager_of_agent(request.headers.get(b"user-agent")),
        field_validation=validation or "Warn",
        force=_optional_bool(query, "force"),
        named_manager=bool(manager),
    )


def delete_options(request: Request) -> DeleteOptions:
    """A deletion's options, from the body if there is one, else from the query. Raises ApiError."""
    if request.body:
        try:
            options = msgspec.convert(parse_body(request, "DeleteOptions", DeleteOptions), DeleteOptions)
        except msgspec.ValidationError as error:
            raise errors.bad_request(f"DeleteOptions in the request's body cannot be handled: {error}") from error
        if dry := request.query.get_all("dryRun"):
            options.dry_run = tuple(dry)
    else:
        options = _delete_options_of(request.query) if request.query.raw else DeleteOptions()
    wrong = _dry_run_errors(list(options.dry_run))
    policy = options.propagation_policy
    if policy is not None and options.orphan_dependents is not None:
        text = "orphanDependents and deletionPropagation cannot be both set"
        wrong.append(field_errors.invalid("propagationPolicy", policy, text))
    elif policy is not None and policy not in _PROPAGATION_POLICIES:
        wrong.append(field_errors.not_supported("propagationPolicy", policy, (*_PROPAGATION_POLICIES, "nil")))
    if wrong:
        raise errors.invalid(f"DeleteOptions.{_META_GROUP}", "", wrong)
    return options


def _delete_options_of(query: Query) -> DeleteOptions:
    grace = query.get("gracePeriodSeconds")
    uid = query.get("preconditions.uid") or None
    try:
        grace_period_seconds = int(grace) if grace else None
    except ValueError as error:
        raise errors.bad_request(f'strconv.ParseInt: parsing "{grace}": invalid syntax') from error
    return DeleteOptions(
        grace_period_seconds=grace_period_seconds,
        propagation_policy=query.get("propagationPolicy") or None,
        orphan_dependents=_optional_bool(query, "orphanDependents"),
        dry_run=tuple(query.get_all("dryRun")),
        preconditions=Preconditions(uid=uid) if uid else None,
    )


def _optional_bool(query: Query, name: str) -> bool | None:
    text = query.get(name)
    return None if not text else text.lower() in ("1", "t", "true")


def _dry_run_errors(values: list[str]) -> list[FieldError]:
    if not values or all(value == "All" for value in values):
        return []
    return [field_errors.not_supported("dryRun", values, ("All",))]


def _manager_errors(manager: str) -> list[FieldError]:
    if len(manager.encode()) > _MAX_FIELD_MANAGER_BYTES:
        return [field_errors.too_long("fieldManager", _MAX_FIELD_MANAGER_BYTES)]
    if not manager.isprintable():
        return [field_errors.invalid("fieldManager", manager, "should only contain printable characters")]
    return []


def _manager_of_agent(agent: bytes) -> str:
    """What upstream calls a writer that names no manager: the User-Agent up to its first slash."""
    name = agent.split(b"/", 1)[0].decode("utf-8", "replace")
    return "".join(filter(str.isprintable, name))[:_MAX_FIELD_MANAGER_BYTES]
